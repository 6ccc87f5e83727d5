// Turns projections and the embedding into base + side path, with the adapter of each row as graph inputs.
// Knows sites, shapes and names; nothing of which adapters exist.
import { int } from '../ir/attributes.ts';
import type { Graph, Node, ProjectionSite, Value } from '../ir/graph.ts';
import { input, output } from '../ir/rewrite.ts';
import type { Dim } from '../ir/tensor-type.ts';
import { type Emitter, emitterAfter, scopeOf } from '../ops/emitter.ts';
import { dim } from '../ops/shapes.ts';
import type { LoraGroup } from './lora-group.ts';
import type { Pass } from './pass.ts';

/** linear: A and B of the layers' linears. full: also gain (DoRA) and bias (lora_bias), the embedding and the head. */
export type LoraProfile = 'linear' | 'full';

export function injectLora(profile: LoraProfile): Pass {
  return {
    name: `inject-lora-${profile}`,
    requires(graph) {
      const [present] = graph.inputs.filter(({ name }) => name.startsWith('lora.'));
      if (present) throw new Error(`the graph has adapter inputs already, ${present.name} for one`);
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
  const base = output(node);
  const users = [...graph.uses(base)];
  const emitter = emitterAfter(graph, node, `${scopeOf(node)}/lora`);
  const inputs = addInputs(graph, node, site, profile);
  const side = sidePath(emitter, node, site, inputs);
  const scaled = inputs.gain ? emitter.emit('Mul', [base, inputs.gain], {}, { name: 'gain' }) : base;
  const sum = emitter.emit('Add', [scaled, side], {}, { name: 'sum' });
  const result = inputs.bias ? emitter.emit('Add', [sum, inputs.bias], {}, { name: 'bias' }) : sum;
  graph.replaceUses(base, result, users);
  return {
    id: groupId(site),
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
  const group = groupId(site);
  const { shape } = output(node);
  const [rows, tokens, out] = [dim(shape, 0), dim(shape, 1), dim(shape, -1)];
  const middle = kind === 'embedding' ? tokens : inFeatures(node, site);
  const a = graph.addInput(`lora.${group}.a`, 'float32', [rows, middle, rankDim(group)]);
  const ranks = parts.length > 1 ? graph.addInput(`lora.${group}.ranks`, 'int64', [parts.length]) : null;
  const b = parts.map((part) => graph.addInput(`lora.${part.site}.b`, 'float32', [rows, rankDim(part.site), part.outFeatures]));
  const perOutput = (name: string): Value => graph.addInput(`lora.${group}.${name}`, 'float32', [rows, 1, out]);
  return {
    a,
    ranks,
    b,
    gain: profile === 'full' ? perOutput('gain') : null,
    bias: profile === 'full' && kind !== 'embedding' ? perOutput('bias') : null,
  };
}

/** concat_i(split(x A)_i B_i), [batch, seq, out]; the embedding's x A is its input already. */
function sidePath(emitter: Emitter, node: Node, site: ProjectionSite, { a, ranks, b }: SideInputs): Value {
  const down = site.kind === 'embedding' ? a : emitter.emit('MatMul', [input(node), a], {}, { name: 'a' });
  if (!ranks) return up(emitter, down, b[0], 'b');
  const head = down.shape.slice(0, -1);
  const downs = emitter.emitAll(
    'Split',
    [down, ranks],
    { axis: int(-1) },
    { name: 'split', wanted: site.parts.map(() => true), shapes: site.parts.map((part) => [...head, rankDim(part.site)]) },
  );
  const ups = downs.map((part, index) => up(emitter, part, b[index], `b${index}`));
  return emitter.emit('Concat', ups, { axis: int(-1) }, { name: 'concat' });
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

/** A projection that was not fused goes by its one site. */
function groupId({ group, parts: [first, ...others] }: ProjectionSite): string {
  return first && others.length === 0 ? first.site : group;
}

/** Name of the dimension that a rank has at run time. */
function rankDim(siteOrGroup: string): Dim {
  return `lora.${siteOrGroup}.rank`;
}
