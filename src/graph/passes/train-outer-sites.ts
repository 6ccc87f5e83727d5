// Trained embedding and head: rows of A and B that tokens name are gathered by the host, so no gradient needs a scatter in the graph.
import { int } from '../ir/attributes.ts';
import type { Graph, Node, Value } from '../ir/graph.ts';
import { constant } from '../ir/recipe.ts';
import { input, output } from '../ir/rewrite.ts';
import { type Emitter, emitterAfter, scopeOf } from '../ops/emitter.ts';
import { fixedDim } from '../ops/shapes.ts';
import { rowNumbers } from './dequantise-weights.ts';
import { delta, doraGain, down, dropped, emitProduct, type SiteInputs, type TrainedHeadTargets } from './trained-site.ts';

/** gain * (E[id] + s B A[:, id]) */
export function trainEmbedding(graph: Graph, node: Node, inputs: SiteInputs, stop: Set<Value>): void {
  const base = output(node);
  const users = [...graph.uses(base)];
  const emitter = emitterAfter(graph, node, `${scopeOf(node)}/train.${inputs.spec.site}`);
  const sum = emitter.emit('Add', [base, delta(emitter, null, inputs)], {}, { name: 'sum' });
  if (!inputs.spec.dora) return graph.replaceUses(base, sum, users);
  const { gain, norm } = doraGain(emitter, inputs, (a) =>
    emitter.emit('MatMul', [a, wholeTable(emitter, node)], {}, { name: 'projected' }),
  );
  stop.add(norm);
  graph.replaceUses(base, emitter.emit('Mul', [sum, gain], {}, { name: 'scaled' }), users);
}

/** Every row of the table as float32, [vocabulary, hidden]. */
function wholeTable(emitter: Emitter, node: Node): Value {
  const table = input(node, 0);
  if (node.op === 'Gather') return table;
  const count = fixedDim(table.shape, 0, 'height of the table');
  const rows = emitter.graph.value(rowNumbers(count)) ?? emitter.graph.addInput(rowNumbers(count), 'int64', [count]);
  return emitter.emit(node.op, [table, rows, ...node.inputs.slice(2)], node.attributes, { name: 'table' });
}

/** As a linear, for all logits; and once more for the target's logit alone, from the target's row of B and magnitude. */
export function trainHead(graph: Graph, node: Node, inputs: SiteInputs, targets: TrainedHeadTargets, stop: Set<Value>): void {
  const { spec } = inputs;
  const all = output(node);
  const users = [...graph.uses(all)];
  const emitter = emitterAfter(graph, node, `${scopeOf(node)}/train.${spec.site}`);
  const x = dropped(emitter, targets.hidden, inputs);
  const side = delta(emitter, x, inputs);
  const dora = spec.dora ? doraGain(emitter, inputs, (a) => emitProduct(emitter, node, a)) : null;
  if (dora) stop.add(dora.norm);
  const kept = dora && x !== targets.hidden ? emitProduct(emitter, node, x) : null;
  graph.replaceUses(all, combined(emitter, all, kept, side, dora?.gain ?? null), users);

  const targetUsers = [...graph.uses(targets.logits)];
  const after = graph.producer(targets.logits);
  if (!after) throw new Error("the target's logits are no result");
  const late = emitterAfter(graph, after, `${scopeOf(node)}/train.${spec.site}.targets`);
  const keptTarget = kept && rowSums(late, late.emit('Mul', [x, targetRows(graph, targets)], {}, { name: 'products' }));
  const gain = dora && targetGain(late, inputs, dora.norm, targets.ids);
  graph.replaceUses(targets.logits, combined(late, targets.logits, keptTarget, targetDelta(late, x, inputs), gain), targetUsers);
}

/** Rows of the head's weight at the targets, [supervised, hidden], in whatever form passes have left them. */
function targetRows(graph: Graph, { hidden, logits }: TrainedHeadTargets): Value {
  const products = graph.producer(logits)?.inputs[0];
  const rows = products && graph.producer(products)?.inputs.find((value) => value && value !== hidden);
  if (!rows) throw new Error(`${logits.name} is no sum of products with rows of the head`);
  return rows;
}

/** base + side; with a gain, gain * (base + side), or base + gain * (kept + side) - kept where dropout made another product than the base. */
function combined(emitter: Emitter, base: Value, kept: Value | null, side: Value, gain: Value | null): Value {
  const sum = emitter.emit('Add', [kept ?? base, side], {}, { name: 'sum' });
  if (!gain) return sum;
  const scaled = emitter.emit('Mul', [sum, gain], {}, { name: 'scaled' });
  if (!kept) return scaled;
  return emitter.emit('Add', [base, emitter.emit('Sub', [scaled, kept], {}, { name: 'change' })], {}, { name: 'changed' });
}

/** s (rowdot(x A^T, B[target]) - rowdot(x A0^T, B0[target])), [supervised, 1] */
function targetDelta(emitter: Emitter, x: Value, { a, bRows, origin, spec }: SiteInputs): Value {
  const side = (scoped: Emitter, a_: Value | null, rows: Value | null): Value => {
    if (!rows) throw new Error(`${spec.site} has no rows of targets`);
    return rowSums(scoped, scoped.emit('Mul', [down(scoped, x, a_), rows], {}, { name: 'b' }));
  };
  const trained = side(emitter, a, bRows);
  const change = origin
    ? emitter.emit('Sub', [trained, side(emitter.scope('origin'), origin.a, origin.bRows)], {}, { name: 'change' })
    : trained;
  const scale = emitter.graph.initializer(constant(Float32Array.of(spec.scale), []));
  return emitter.emit('Mul', [change, scale], {}, { name: 'scaled_side' });
}

function targetGain(emitter: Emitter, { magnitudeRows, spec }: SiteInputs, norm: Value, ids: Value): Value {
  if (!magnitudeRows) throw new Error(`${spec.site} has no magnitudes of targets`);
  const gathered = emitter.emit('Gather', [norm, ids], { axis: int(0) }, { name: 'norms' });
  const column = emitter.graph.initializer(constant(BigInt64Array.of(-1n, 1n)));
  const norms = emitter.emit('Reshape', [gathered, column], {}, { name: 'norm_column', shapes: [[...gathered.shape, 1]] });
  return emitter.emit('Div', [magnitudeRows, norms], {}, { name: 'gain' });
}

function rowSums(emitter: Emitter, x: Value): Value {
  return emitter.emit(
    'ReduceSum',
    [x, emitter.graph.initializer(constant(BigInt64Array.of(-1n)))],
    { keepdims: int(1) },
    { name: 'row_sums' },
  );
}
