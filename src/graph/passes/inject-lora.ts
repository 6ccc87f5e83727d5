// Turns projections and the embedding into base + side path, with the adapter of each row as graph inputs.
// Knows sites, shapes and names; nothing of which adapters exist.
import { int } from '../ir/attributes.ts';
import type { Graph, Node, ProjectionSite, Value } from '../ir/graph.ts';
import { input, output, splitIntoParts } from '../ir/rewrite.ts';
import type { Dim } from '../ir/tensor-type.ts';
import { emitParts, emitWhole, isMixed, ofRows, rowsInput } from '../ops/call-parts.ts';
import { type Emitter, emitterAfter, scopeOf } from '../ops/emitter.ts';
import { dim } from '../ops/shapes.ts';
import { type LoraGroup, loraGroupId, loraInput } from './lora-group.ts';
import type { Pass } from './pass.ts';

/** linear: A and B of the layers' linears. full: also gain (DoRA) and bias (lora_bias), the embedding and the head. */
export type LoraProfile = 'linear' | 'full';

/** In a graph for mixed calls the side paths of rows and chunk are apart; the groups name the chunk's inputs, `ofRows` those of the rows. */
export function injectLora(profile: LoraProfile): Pass {
  return {
    name: `inject-lora-${profile}`,
    requires(graph) {
      const [present] = graph.inputs.filter(({ name }) => name.startsWith('lora.'));
      if (present) throw new Error(`the graph has adapter inputs already, ${present.name} for one`);
      if (isMixed(graph) && profile !== 'linear') throw new Error(`mixed calls have no profile ${profile}`);
    },
    run(graph) {
      const loraGroups: LoraGroup[] = [];
      for (const node of graph.nodes.slice()) {
        const { site } = node;
        if (!site || (profile === 'linear' && site.kind !== 'linear')) continue;
        loraGroups.push(inject(graph, node, site, profile));
      }
      return {
        modified: loraGroups.length > 0,
        counts: { groups: loraGroups.length, sites: loraGroups.flatMap(({ parts }) => parts).length },
        loraGroups,
      };
    },
  };
}

function inject(graph: Graph, node: Node, site: ProjectionSite, profile: LoraProfile): LoraGroup {
  const inputs = addInputs(graph, node, site, profile);
  const split = splitIntoParts(graph, node);
  const emitter = emitterAfter(graph, split ?? node, `${scopeOf(node)}/lora`);
  const isSplit = split !== undefined;
  const sides = isMixed(graph) ? mixedSides(emitter, node, site, inputs, isSplit) : sidePaths(emitter, input(node), site, inputs, isSplit);
  if (split) adaptParts(emitter, split, sides, inputs);
  else for (const side of sides) adapt(emitter, output(node), { ...inputs, side });
  return {
    id: loraGroupId(site),
    kind: site.kind,
    inFeatures: inFeatures(node, site),
    parts: site.parts,
    inputs: {
      a: inputs.a.name,
      ...(inputs.ranks && { ranks: inputs.ranks.name }),
      b: inputs.b.map(({ name }) => name),
      ...(inputs.gain && { gain: inputs.gain.name }),
      ...(inputs.bias && { bias: inputs.bias.name }),
    },
  };
}

interface SideInputs {
  readonly a: Value;
  readonly ranks: Value | null;
  readonly b: readonly Value[];
  readonly gain: Value | null;
  readonly bias: Value | null;
}

function addInputs(graph: Graph, node: Node, site: ProjectionSite, profile: LoraProfile): SideInputs {
  const { kind, parts } = site;
  const group = loraGroupId(site);
  const { shape } = output(node);
  const [rows, tokens, out] = [dim(shape, 0), dim(shape, 1), dim(shape, -1)];
  const middle = kind === 'embedding' ? tokens : inFeatures(node, site);
  const a = graph.addInput(loraInput(group, 'a'), 'float32', [rows, middle, rankDim(group)]);
  const ranks = parts.length > 1 ? graph.addInput(loraInput(group, 'ranks'), 'int64', [parts.length]) : null;
  const b = parts.map((part) => graph.addInput(`lora.${part.site}.b`, 'float32', [rows, rankDim(part.site), part.outFeatures]));
  const perOutput = (name: 'gain' | 'bias'): Value => graph.addInput(loraInput(group, name), 'float32', [rows, 1, out]);
  return {
    a,
    ranks,
    b,
    gain: profile === 'full' ? perOutput('gain') : null,
    bias: profile === 'full' && kind !== 'embedding' ? perOutput('bias') : null,
  };
}

/** What an adapter does to a base's output, or to one part of it; `suffix` tells apart the nodes of parts. */
interface Adaptation extends Pick<SideInputs, 'gain' | 'bias'> {
  readonly side: Value;
  readonly suffix?: string;
}

function adapt(emitter: Emitter, base: Value, { side, gain, bias, suffix = '' }: Adaptation): void {
  const { graph } = emitter;
  const users = [...graph.uses(base)];
  const scaled = gain ? emitter.emit('Mul', [base, gain], {}, { name: `gain${suffix}` }) : base;
  const sum = emitter.emit('Add', [scaled, side], {}, { name: `sum${suffix}` });
  graph.replaceUses(base, bias ? emitter.emit('Add', [sum, bias], {}, { name: `bias${suffix}` }) : sum, users);
}

/** Where the base's output is split anyway, its parts are adapted behind that: nothing is joined to be split again. */
function adaptParts(emitter: Emitter, split: Node, sides: readonly Value[], { gain, bias }: SideInputs): void {
  const parts = (whole: Value | null, name: string): readonly Value[] =>
    whole ? emitter.emitAll('Split', [whole, input(split, 1)], split.attributes, { name, wanted: sides.map(() => true) }) : [];
  const gains = parts(gain, 'gains');
  const biases = parts(bias, 'biases');
  for (const [index, side] of sides.entries())
    adapt(emitter, output(split, index), { side, gain: gains[index] ?? null, bias: biases[index] ?? null, suffix: String(index) });
}

/** split(x A)_i B_i, [batch, seq, out of the part], apart or one beside the other; the embedding's x A is its input already. */
function sidePaths(emitter: Emitter, x: Value, site: ProjectionSite, { a, ranks, b }: SideInputs, apart: boolean): readonly Value[] {
  const down = site.kind === 'embedding' ? a : emitter.emit('MatMul', [x, a], {}, { name: 'a' });
  if (!ranks) return [up(emitter, down, b[0], 'b')];
  const head = down.shape.slice(0, -1);
  const downs = emitter.emitAll(
    'Split',
    [down, ranks],
    { axis: int(-1) },
    { name: 'split', wanted: site.parts.map(() => true), shapes: b.map((factor) => [...head, dim(factor.shape, 1)]) },
  );
  const ups = downs.map((part, index) => up(emitter, part, b[index], `b${index}`));
  return apart ? ups : [emitter.emit('Concat', ups, { axis: int(-1) }, { name: 'concat' })];
}

/** Those of rows and chunk, then brought together. */
function mixedSides(emitter: Emitter, node: Node, site: ProjectionSite, inputs: SideInputs, apart: boolean): readonly Value[] {
  const x = input(node);
  const parts = emitParts(emitter, x);
  const rowsSides = sidePaths(emitter.scope('rows'), parts.rows, site, inputsOfRows(emitter.graph, inputs), apart);
  const chunkSides = sidePaths(emitter.scope('chunk'), parts.chunk, site, inputs, apart);
  return rowsSides.map((rows, index) => {
    const chunk = chunkSides[index];
    if (!chunk) throw new Error(`${node.name} has no side path ${index} for the chunk`);
    return emitWhole(emitter.scope(`part${index}`), { rows, chunk }, x);
  });
}

function inputsOfRows(graph: Graph, { a, ranks, b }: SideInputs): SideInputs {
  const ownRanks = ranks && graph.addInput(ofRows(ranks.name), ranks.type, ranks.shape);
  return { a: rowsInput(graph, a), ranks: ownRanks, b: b.map((factor) => rowsInput(graph, factor)), gain: null, bias: null };
}

function up(emitter: Emitter, down: Value, b: Value | undefined, name: string): Value {
  if (!b) throw new Error(`${name} has no input`);
  return emitter.emit('MatMul', [down, b], {}, { name });
}

function inFeatures(node: Node, site: ProjectionSite): number {
  const size = site.kind === 'embedding' ? dim(input(node, 0).shape, 0) : dim(input(node, 0).shape, -1);
  if (typeof size !== 'number') throw new Error(`${node.name} takes ${size} features, expected a number`);
  return size;
}

/** Name of the dimension that a rank has at run time. */
function rankDim(siteOrGroup: string): Dim {
  return `lora.${siteOrGroup}.rank`;
}
