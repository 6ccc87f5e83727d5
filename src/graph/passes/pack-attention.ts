// Query, key and value that come out of one Split go into GroupQueryAttention as they were before it: packed side by side.
import type { Graph, Node } from '../ir/graph.ts';
import { input, output, replaceNode, soleUser } from '../ir/rewrite.ts';
import { emitterAfter, scopeOf } from '../ops/emitter.ts';
import type { Pass } from './pass.ts';

export const packAttention: Pass = {
  name: 'pack-attention',
  run(graph) {
    let packed = 0;
    for (const node of graph.nodes.filter(({ op }) => op === 'GroupQueryAttention')) {
      const split = splitBefore(graph, node);
      if (!split) continue;
      const inputs = [input(split), null, null, ...node.inputs.slice(3)];
      const outputs = emitterAfter(graph, node, scopeOf(node)).emitAll(node.op, inputs, node.attributes, {
        name: 'PackedAttention',
        wanted: node.outputs.map(() => true),
      });
      replaceNode(graph, node, outputs);
      graph.removeNode(split);
      packed++;
    }
    return { modified: packed > 0, counts: { packed } };
  },
};

/** The Split whose three outputs are query, key and value of the attention and nothing else. */
function splitBefore(graph: Graph, attention: Node): Node | undefined {
  const parts = attention.inputs.slice(0, 3);
  const split = parts[0] && graph.producer(parts[0]);
  if (split?.op !== 'Split' || split.outputs.length !== parts.length) return undefined;
  const matches = split.outputs.every(
    (_, index) => parts[index] === output(split, index) && soleUser(graph, output(split, index)) === attention,
  );
  return matches ? split : undefined;
}
