// Gives projections, the embedding and the head the trained form of adapters: A, B and magnitudes as graph inputs that gradients are taken by.
// Formulas are PEFT 0.21's (tuners/lora/layer.py, dora.py, variants.py), with a frozen origin (A0, B0) beside.
import { int } from '../ir/attributes.ts';
import type { Graph, Node, Value } from '../ir/graph.ts';
import { constant } from '../ir/recipe.ts';
import { input, output } from '../ir/rewrite.ts';
import { type Emitter, emitterAfter, scopeOf } from '../ops/emitter.ts';
import { trainEmbedding, trainHead } from './train-outer-sites.ts';
import {
  addSiteInputs,
  delta,
  doraGain,
  dropped,
  emitProduct,
  type SiteInputs,
  type TrainedHeadTargets,
  type TrainedSiteSpec,
} from './trained-site.ts';

export interface TrainSitesOptions {
  readonly sites: readonly TrainedSiteSpec[];
  readonly targets: TrainedHeadTargets;
  /** Whether inputs of linears and of the head are dropped before A. */
  readonly dropout: boolean;
}

export interface TrainedSites {
  /** By site, in the order of the graph. */
  readonly inputs: readonly SiteInputs[];
  /** Values that gradients do not flow through: DoRA's norms. */
  readonly stop: ReadonlySet<Value>;
}

/** @throws Error when a site is not in the graph. */
export function trainSites(graph: Graph, { sites, targets, dropout }: TrainSitesOptions): TrainedSites {
  const wanted = new Map(sites.map((spec) => [spec.site, spec]));
  const stop = new Set<Value>();
  const inputs: SiteInputs[] = [];
  for (const node of graph.nodes.slice()) {
    for (const [part, { site }] of (node.site?.parts ?? []).entries()) {
      const spec = wanted.get(site);
      if (!spec || !node.site) continue;
      wanted.delete(site);
      const added = addSiteInputs(graph, node, spec, { part, dropout });
      if (node.site.kind === 'linear') trainLinear(graph, node, added, part, stop);
      else if (node.site.kind === 'head') trainHead(graph, node, added, targets, stop);
      else trainEmbedding(graph, node, added, stop);
      inputs.push(added);
    }
  }
  const [missing] = wanted.keys();
  if (missing !== undefined) throw new Error(`the graph has no site ${missing}`);
  return { inputs, stop };
}

function trainLinear(graph: Graph, node: Node, inputs: SiteInputs, part: number, stop: Set<Value>): void {
  const { value: present, bias } = partOf(graph, node, part);
  const users = [...graph.uses(present)];
  const after = graph.producer(present) ?? node;
  const emitter = emitterAfter(graph, after, `${scopeOf(node)}/train.${inputs.spec.site}`);
  const x = dropped(emitter, input(node), inputs);
  const side = delta(emitter, x, inputs);
  graph.replaceUses(present, inputs.spec.dora ? withGain() : emitter.emit('Add', [present, side], {}, { name: 'sum' }), users);

  /** Without dropout gain * (Wx + side); with it Wx + (gain - 1) * W x' + gain * side, where x' is what was left of x. The base's bias has no gain. */
  function withGain(): Value {
    const { gain, norm } = doraGain(emitter, inputs, (a) => takePart(emitter, node, emitProduct(emitter, node, a), part));
    stop.add(norm);
    if (x === input(node)) {
      const base = bias ? takePart(emitter, node, output(node), part) : present;
      const scaled = emitter.emit('Mul', [emitter.emit('Add', [base, side], {}, { name: 'sum' }), gain], {}, { name: 'scaled' });
      return bias ? emitter.emit('Add', [scaled, bias(emitter)], {}, { name: 'biased' }) : scaled;
    }
    const kept = takePart(emitter, node, emitProduct(emitter, node, x), part);
    const scaled = emitter.emit('Mul', [emitter.emit('Add', [kept, side], {}, { name: 'sum' }), gain], {}, { name: 'scaled' });
    return emitter.emit('Add', [present, emitter.emit('Sub', [scaled, kept], {}, { name: 'change' })], {}, { name: 'changed' });
  }
}

interface Part {
  /** What the rest of the graph reads as this part. */
  readonly value: Value;
  /** The part of a bias that is in it already; null: there is none yet. */
  readonly bias: ((emitter: Emitter) => Value) | null;
}

/** A projection alone is its own part; one of several is an output of the Split behind it, which may follow a common bias. */
function partOf(graph: Graph, node: Node, part: number): Part {
  if (node.site?.parts.length === 1) return { value: output(node), bias: null };
  const [direct] = graph.uses(output(node)).map((use) => use.node);
  if (direct?.op === 'Split') return { value: output(direct, part), bias: null };
  const split = direct && graph.uses(output(direct)).find((use) => use.node.op === 'Split')?.node;
  const bias = direct?.inputs.find((value) => value !== output(node));
  if (!split || !bias) throw new Error(`${node.name} has several parts, expected a Split behind it`);
  return { value: output(split, part), bias: (emitter) => takePart(emitter, node, bias, part) };
}

/** Columns of one part out of [..., all parts]. */
function takePart(emitter: Emitter, { site }: Node, whole: Value, part: number): Value {
  const widths = (site?.parts ?? []).map(({ outFeatures }) => outFeatures);
  if (widths.length === 1) return whole;
  const sizes = emitter.graph.initializer(constant(BigInt64Array.from(widths, BigInt)));
  const parts = emitter.emitAll('Split', [whole, sizes], { axis: int(-1) }, { name: 'parts', wanted: widths.map(() => true) });
  const found = parts[part];
  if (!found) throw new Error(`no part ${part} of ${whole.name}`);
  return found;
}
