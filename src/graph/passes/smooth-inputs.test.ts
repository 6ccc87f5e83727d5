import { describe, expect, it } from 'vitest';
import { float, int } from '../ir/attributes.ts';
import { Graph } from '../ir/graph.ts';
import { checkpoint, transpose } from '../ir/recipe.ts';
import { emitterAtEnd } from '../ops/emitter.ts';
import { printGraph } from '../print.ts';
import { runPasses } from './pass.ts';
import { smoothInputs } from './smooth-inputs.ts';

/** A projection of group `g` behind a norm, and whoever else reads the norm. */
function network({ alsoRead }: { readonly alsoRead: boolean }): Graph {
  const graph = new Graph('g');
  const emitter = emitterAtEnd(graph);
  const x = graph.addInput('x', 'float32', ['b', 't', 4]);
  const scale = graph.initializer(checkpoint('norm', [4]));
  const normed = emitter.emit('SimplifiedLayerNormalization', [x, scale], { epsilon: float(1), axis: int(-1) }, { name: 'norm' });
  const site = { kind: 'linear', group: 'g', parts: [{ site: 'g', outFeatures: 2 }] } as const;
  const weight = graph.initializer(transpose(checkpoint('w', [2, 4])));
  graph.addOutput(emitter.emit('MatMul', [normed, weight], {}, { site }), 'y');
  if (alsoRead) graph.addOutput(emitter.emit('Sigmoid', [normed]), 'side');
  return graph;
}

const factors = Float32Array.of(1, 2, 4, 8);

describe('smooth-inputs', () => {
  it('divides in the norm and multiplies in the weight, without a node of its own', () => {
    const graph = network({ alsoRead: false });
    expect(runPasses(graph, [smoothInputs(new Map([['g', factors]]))])[0]).toMatchObject({ modified: true, counts: { smoothed: 1 } });
    expect(printGraph(graph).replaceAll(/values\(\w+\)/g, 'values')).toMatchInlineSnapshot(`
      "graph g(
        %x: float32[b, t, 4]
      ) {
        %norm_2: float32[b, t, 4] = SimplifiedLayerNormalization(%x, @product(norm,values)) {epsilon=1.0, axis=-1}
        %y: float32[b, t, 2] = MatMul(%norm_2, @transpose(product(w,values)))
        return %y
      }"
    `);
  });

  it('gives everyone else the activations as they were', () => {
    const graph = network({ alsoRead: true });
    runPasses(graph, [smoothInputs(new Map([['g', factors]]))]);
    expect(printGraph(graph).replaceAll(/values\(\w+\)/g, 'values')).toMatchInlineSnapshot(`
      "graph g(
        %x: float32[b, t, 4]
      ) {
        %norm_2: float32[b, t, 4] = SimplifiedLayerNormalization(%x, @product(norm,values)) {epsilon=1.0, axis=-1}
        %unsmoothed: float32[b, t, 4] = Mul(%norm_2, [1, 2, 4, 8])
        %y: float32[b, t, 2] = MatMul(%norm_2, @transpose(product(w,values)))
        %side: float32[b, t, 4] = Sigmoid(%unsmoothed)
        return %y, %side
      }"
    `);
  });

  it('leaves groups that are not named, and inputs that no norm makes', () => {
    const graph = network({ alsoRead: false });
    expect(runPasses(graph, [smoothInputs(new Map([['other', factors]]))])[0]?.modified).toBe(false);
    const bare = new Graph('g');
    const x = bare.addInput('x', 'float32', ['b', 't', 4]);
    const site = { kind: 'linear', group: 'g', parts: [{ site: 'g', outFeatures: 2 }] } as const;
    bare.addOutput(emitterAtEnd(bare).emit('MatMul', [x, bare.initializer(transpose(checkpoint('w', [2, 4])))], {}, { site }), 'y');
    expect(runPasses(bare, [smoothInputs(new Map([['g', factors]]))])[0]?.modified).toBe(false);
  });
});
