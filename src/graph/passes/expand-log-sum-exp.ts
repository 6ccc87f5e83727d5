// log(sum(exp(x))) becomes max(x) - log(max(softmax(x))), exactly the same number: the largest of softmax is 1 / sum(exp(x - max)).
// ONNX Runtime's own ReduceLogSumExp adds up in one float, 1.2e-4 too little over 49,152 columns; and the gradient needs that softmax anyway.
import { ints } from '../ir/attributes.ts';
import type { Graph, Node } from '../ir/graph.ts';
import { input, output, replaceNode } from '../ir/rewrite.ts';
import { emitterAfter, scopeOf } from '../ops/emitter.ts';
import type { Pass } from './pass.ts';

export const expandLogSumExp: Pass = {
  name: 'expand-log-sum-exp',
  run(graph) {
    const nodes = graph.nodes.filter(({ op }) => op === 'ReduceLogSumExp');
    for (const node of nodes) expand(graph, node);
    return { modified: nodes.length > 0, counts: { nodes: nodes.length } };
  },
};

function expand(graph: Graph, node: Node): void {
  const x = input(node);
  const emitter = emitterAfter(graph, node, scopeOf(node));
  const last = { axes: ints([-1]) };
  const softmaxes = graph.uses(x).filter((use) => use.node.op === 'Softmax' && isLast(use.node, x.shape.length));
  const shared = emitter.emit('Softmax', [x], { axis: { kind: 'int', value: -1 } });
  for (const { node: other } of softmaxes) replaceNode(graph, other, [shared]);
  const largest = emitter.emit('ReduceMax', [x], last, { name: 'largest' });
  const share = emitter.emit('Log', [emitter.emit('ReduceMax', [shared], last, { name: 'largest_share' })], {}, { name: 'log_share' });
  const result = emitter.emit('Sub', [largest, share], {}, { name: 'normaliser' });
  graph.replaceUses(output(node), result);
  graph.removeNode(node);
}

function isLast({ attributes: { axis } }: Node, rank: number): boolean {
  return axis?.kind === 'int' && (axis.value === -1 || axis.value === rank - 1);
}
