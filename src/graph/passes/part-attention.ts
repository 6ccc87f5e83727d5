// In graphs for mixed calls: attention of the rows and of the chunk over caches of their own, whose capacities may differ.
import type { Graph, Node, Value } from '../ir/graph.ts';
import { replaceNode } from '../ir/rewrite.ts';
import { emitParts, emitWhole, isMixed, ofRows, rowsInput } from '../ops/call-parts.ts';
import { type Emitter, emitterAfter, scopeOf } from '../ops/emitter.ts';
import type { Pass } from './pass.ts';

/** Query, key and value, or all three in the first. */
const ACTIVATIONS = 3;
/** Behind the activations: past key and value, lengths, the largest length. */
const TOTAL_LENGTH = 3;

export const partAttention: Pass = {
  name: 'part-attention',
  requires(graph) {
    if (!isMixed(graph)) throw new Error('the graph is not one for mixed calls');
  },
  run(graph) {
    const attentions = graph.nodes.filter(({ op }) => op === 'GroupQueryAttention');
    for (const node of attentions) part(graph, node);
    return { modified: attentions.length > 0, counts: { parted: attentions.length } };
  },
};

function part(graph: Graph, node: Node): void {
  const emitter = emitterAfter(graph, node, scopeOf(node));
  const activations = node.inputs.slice(0, ACTIVATIONS).map((x) => (x ? { x, ...emitParts(emitter, x) } : null));
  const others = node.inputs.slice(ACTIVATIONS);
  const theirs = others.map((value, index) => value && (index === TOTAL_LENGTH ? ownTotal(graph, value) : ownInput(graph, value)));
  const [rows, ...rowsPresent] = attend(emitter.scope('rows'), node, [...activations.map((parts) => parts?.rows ?? null), ...theirs]);
  const [chunk, ...present] = attend(emitter.scope('chunk'), node, [...activations.map((parts) => parts?.chunk ?? null), ...others]);
  const query = activations[0]?.x;
  if (!rows || !chunk || !query) throw new Error(`${node.name} lost an input or an output`);
  replaceNode(graph, node, [emitWhole(emitter, { rows, chunk }, query), ...present]);
  rowsPresent.forEach((value, index) => graph.addOutput(value, ofRows(present[index]?.name ?? '')));
}

function attend(emitter: Emitter, node: Node, inputs: readonly (Value | null)[]): readonly Value[] {
  return emitter.emitAll(node.op, inputs, node.attributes, { wanted: node.outputs.map(() => true) });
}

/** Of the rows; tables are shared. */
function ownInput(graph: Graph, value: Value): Value {
  return graph.inputs.includes(value) ? rowsInput(graph, value) : value;
}

/** One number for all rows. */
function ownTotal(graph: Graph, { name, type, shape }: Value): Value {
  return graph.value(ofRows(name)) ?? graph.addInput(ofRows(name), type, shape);
}
