import { describe, expect, it } from 'vitest';
import { float, int } from '../ir/attributes.ts';
import { Graph } from '../ir/graph.ts';
import { checkpoint } from '../ir/recipe.ts';
import { emitterAtEnd } from '../ops/emitter.ts';
import { printGraph } from '../print.ts';
import { fuseSkipNorms } from './fuse-skip-norms.ts';
import { runPasses } from './pass.ts';

function residual({ sumIsOutput = false, skipShape = ['b', 't', 4] as readonly (string | number)[] } = {}): Graph {
  const graph = new Graph('g');
  const emitter = emitterAtEnd(graph, 'layers.0');
  const sum = emitter.emit('Add', [graph.addInput('x', 'float32', ['b', 't', 4]), graph.addInput('skip', 'float32', skipShape)]);
  const normed = emitter
    .scope('norm')
    .emit('SimplifiedLayerNormalization', [sum, graph.initializer(checkpoint('norm', [4]))], { epsilon: float(1e-5), axis: int(-1) });
  graph.addOutput(normed, 'normed');
  if (sumIsOutput) graph.addOutput(sum, 'sum');
  return graph;
}

describe('fuse-skip-norms', () => {
  it('fuses an Add and the norm behind it', () => {
    const graph = residual();
    expect(runPasses(graph, [fuseSkipNorms])).toEqual([{ pass: 'fuse-skip-norms', modified: true, counts: { fused: 1 } }]);
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "graph g(
        %x: float32[b, t, 4]
        %skip: float32[b, t, 4]
      ) {
        %normed: float32[b, t, 4] = SkipSimplifiedLayerNormalization(%x, %skip, @norm) {epsilon=0.00001}
        return %normed
      }"
    `);
  });

  it('gives out the sum where something else uses it', () => {
    const graph = residual({ sumIsOutput: true });
    runPasses(graph, [fuseSkipNorms]);
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "graph g(
        %x: float32[b, t, 4]
        %skip: float32[b, t, 4]
      ) {
        %normed: float32[b, t, 4], _, _, %sum: float32[b, t, 4] = SkipSimplifiedLayerNormalization(%x, %skip, @norm) {epsilon=0.00001}
        return %normed, %sum
      }"
    `);
  });

  it('leaves an Add that broadcasts', () => {
    const graph = residual({ skipShape: [4] });
    expect(runPasses(graph, [fuseSkipNorms])).toEqual([{ pass: 'fuse-skip-norms', modified: false, counts: { fused: 0 } }]);
    expect(graph.nodes.map(({ op }) => op)).toEqual(['Add', 'SimplifiedLayerNormalization']);
  });
});
