import { describe, expect, it } from 'vitest';
import { Graph } from '../ir/graph.ts';
import { checkpoint, transpose } from '../ir/recipe.ts';
import { emitterAtEnd } from '../ops/emitter.ts';
import { printGraph } from '../print.ts';
import { storedWeights } from '../serde.ts';
import { runPasses } from './pass.ts';
import { quantiseRows } from './quantise-rows.ts';
import { tryRows } from './try-rows.ts';

function projections(...groups: readonly string[]): Graph {
  const graph = new Graph('g');
  for (const group of groups) {
    const x = graph.addInput(`x.${group}`, 'float32', ['b', 't', 4]);
    const site = { kind: 'linear', group, parts: [{ site: group, outFeatures: 2 }] } as const;
    const weight = graph.initializer(transpose(checkpoint(`w.${group}`, [2, 4])));
    graph.addOutput(emitterAtEnd(graph, group).emit('MatMul', [x, weight], {}, { site }), `y.${group}`);
  }
  return graph;
}

describe('quantise-rows', () => {
  it('gives every row of activations and every column of the weight a scale of its own', () => {
    const graph = projections('one', 'two');
    expect(runPasses(graph, [quantiseRows(new Set(['one']))])[0]).toMatchObject({ modified: true, counts: { quantised: 1 } });
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "graph g(
        %x.one: float32[b, t, 4]
        %x.two: float32[b, t, 4]
      ) {
        %one/Abs: float32[b, t, 4] = Abs(%x.one)
        %one/largest: float32[b, t, 1] = ReduceMax(%one/Abs) {axes=[-1], keepdims=1}
        %one/scale: float32[b, t, 1] = Mul(%one/largest, [0.007874015718698502])
        %one/Div: float32[b, t, 4] = Div(%x.one, %one/scale)
        %one/levels: uint8[b, t, 4] = QuantizeLinear(%one/Div, [1], [128])
        %one/MatMulIntegerToFloat: float32[b, t, 2] = MatMulIntegerToFloat(%one/levels, @w8.data(w.one), [1], @w8.scales(w.one), [128])
        %y.one: float32[b, t, 2] = Mul(%one/MatMulIntegerToFloat, %one/scale)
        %y.two: float32[b, t, 2] = MatMul(%x.two, @transpose(w.two))
        return %y.one, %y.two
      }"
    `);
    expect(storedWeights(graph).map(({ name, type, shape }) => [name, type, shape])).toEqual([
      ['transpose(w.two)', 'float32', [4, 2]],
      ['w8.data(w.one)', 'int8', [4, 2]],
      ['w8.scales(w.one)', 'float32', [2]],
    ]);
  });
});

describe('try-rows', () => {
  it('adds a switch to each projection, between its own product and the row-wise one', () => {
    const graph = projections('one', 'two');
    expect(runPasses(graph, [tryRows])[0]?.counts).toEqual({ tried: 2 });
    expect(graph.inputs.map(({ name }) => name)).toEqual(['x.one', 'x.two', 'row_wise.one', 'row_wise.two']);
    expect(graph.nodes.map(({ op }) => op).filter((op) => op.startsWith('MatMul'))).toEqual(
      Array(2).fill(['MatMul', 'MatMulIntegerToFloat']).flat(),
    );
  });
});
