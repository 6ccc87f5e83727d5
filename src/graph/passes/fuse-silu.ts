// x * sigmoid(x) becomes one QuickGelu with alpha 1. ONNX Runtime does it itself where nothing else reads the sigmoid, as in serving; in a
// training graph the gradient would, so it is done before gradients are taken.
import { float } from '../ir/attributes.ts';
import type { Graph, Node, Value } from '../ir/graph.ts';
import { input, output, replaceNode, soleUser } from '../ir/rewrite.ts';
import { emitterAfter, scopeOf } from '../ops/emitter.ts';
import type { Pass } from './pass.ts';

export const fuseSilu: Pass = {
  name: 'fuse-silu',
  run(graph) {
    let fused = 0;
    for (const node of graph.nodes.slice()) {
      const product = node.op === 'Sigmoid' ? siluOf(graph, node) : undefined;
      if (!product) continue;
      const silu = emitterAfter(graph, product, scopeOf(product)).emit('QuickGelu', [input(node)], { alpha: float(1) });
      replaceNode(graph, product, [silu]);
      graph.removeNode(node);
      fused++;
    }
    return { modified: fused > 0, counts: { fused } };
  },
};

/** The Mul of a sigmoid's output with its input, when nothing else reads the sigmoid. */
function siluOf(graph: Graph, sigmoid: Node): Node | undefined {
  const user = soleUser(graph, output(sigmoid));
  const reads = (value: Value): boolean => user?.inputs.includes(value) ?? false;
  return user?.op === 'Mul' && reads(input(sigmoid)) ? user : undefined;
}
