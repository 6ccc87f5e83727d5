// Add of a residual and the norm behind it become one SkipSimplifiedLayerNormalization, which also gives the sum.
import type { Graph, Node } from '../ir/graph.ts';
import { input, output, soleUser } from '../ir/rewrite.ts';
import { sameShape } from '../ir/tensor-type.ts';
import { emitterAfter, scopeOf } from '../ops/emitter.ts';
import type { Pass } from './pass.ts';

export const fuseSkipNorms: Pass = {
  name: 'fuse-skip-norms',
  run(graph) {
    let fused = 0;
    for (const norm of graph.nodes.filter(({ op }) => op === 'SimplifiedLayerNormalization')) {
      const add = residualAdd(graph, norm);
      if (!add) continue;
      fuse(graph, add, norm);
      fused++;
    }
    return { modified: fused > 0, counts: { fused } };
  },
};

/** The Add of two equally shaped [batch, seq, hidden] activations that feeds the norm. */
function residualAdd(graph: Graph, norm: Node): Node | undefined {
  const add = graph.producer(input(norm));
  if (add?.op !== 'Add') return undefined;
  const [left, right] = [input(add, 0), input(add, 1)];
  return left.shape.length === 3 && sameShape(left.shape, right.shape) ? add : undefined;
}

function fuse(graph: Graph, add: Node, norm: Node): void {
  const { epsilon } = norm.attributes;
  const sumIsUsed = soleUser(graph, output(add)) !== norm;
  const [normed, sum] = emitterAfter(graph, add, scopeOf(norm)).emitAll(
    'SkipSimplifiedLayerNormalization',
    [input(add, 0), input(add, 1), input(norm, 1)],
    epsilon ? { epsilon } : {},
    { wanted: sumIsUsed ? [true, false, false, true] : [true] },
  );
  if (normed) graph.replaceUses(output(norm), normed);
  graph.removeNode(norm);
  if (sum) graph.replaceUses(output(add), sum);
  graph.removeNode(add);
}
