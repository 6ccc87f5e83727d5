// Side paths over one input x become one product: their matrices A, one below the other, make x A^T of all of them at once. So do, by the rules of
// differentiation, the gradients of all A, and what they add to that of x.
import { int, intAttribute } from '../ir/attributes.ts';
import type { Graph, Node, Value } from '../ir/graph.ts';
import { constant } from '../ir/recipe.ts';
import { input, replaceNode } from '../ir/rewrite.ts';
import { emitterAfter, scopeOf } from '../ops/emitter.ts';
import { fixedDim } from '../ops/shapes.ts';
import type { Pass } from './pass.ts';

export const stackSideInputs: Pass = {
  name: 'stack-side-inputs',
  run(graph) {
    const groups = groupsOf(graph);
    for (const group of groups) stack(graph, group);
    return { modified: groups.length > 0, counts: { groups: groups.length, products: groups.flat().length } };
  },
};

/** At least two products x A^T of a group, A being inputs of the graph; in the order of the graph. */
function groupsOf(graph: Graph): readonly (readonly [Node, Node, ...Node[]])[] {
  const inputs = new Set(graph.inputs);
  const byInput = new Map<Value, Node[]>();
  for (const node of graph.nodes) {
    if (node.op !== 'FusedMatMul' || !inputs.has(input(node, 1)) || intAttribute(node.attributes, 'transB', 0) !== 1) continue;
    byInput.set(input(node), [...(byInput.get(input(node)) ?? []), node]);
  }
  return [...byInput.values()].filter((group): group is [Node, Node, ...Node[]] => group.length > 1);
}

function stack(graph: Graph, group: readonly [Node, Node, ...Node[]]): void {
  const [first] = group;
  const x = input(first);
  // Behind what makes x, since a later side path may stand before the first one reads it.
  const emitter = emitterAfter(graph, graph.producer(x) ?? null, `${scopeOf(first)}/stacked`);
  const factors = group.map((node) => input(node, 1));
  const ranks = factors.map((a) => fixedDim(a.shape, 0, `rank of ${a.name}`));
  const matrix = emitter.emit('Concat', factors, { axis: int(0) }, { name: 'a' });
  const product = emitter.emit('FusedMatMul', [x, matrix], { transB: int(1) }, { name: 'product' });
  const sizes = graph.initializer(constant(BigInt64Array.from(ranks, BigInt)));
  const parts = emitter.emitAll('Split', [product, sizes], { axis: int(-1) }, { name: 'parts', wanted: ranks.map(() => true) });
  for (const [index, node] of group.entries()) replaceNode(graph, node, [parts[index] ?? null]);
}
