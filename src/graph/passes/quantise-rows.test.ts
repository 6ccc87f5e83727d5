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
    const report = runPasses(graph, [quantiseRows(new Map([['one', 1]]), 'paired')])[0];
    expect(report).toMatchObject({ modified: true, counts: { single: 1, double: 0 } });
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "graph g(
        %x.one: float32[b, t, 4]
        %x.two: float32[b, t, 4]
      ) {
        %one/Abs: float32[b, t, 4] = Abs(%x.one)
        %one/largest: float32[b, t, 1] = ReduceMax(%one/Abs) {axes=[2], keepdims=1}
        %one/scale: float32[b, t, 1] = Mul(%one/largest, [0.007874015718698502])
        %one/Div: float32[b, t, 4] = Div(%x.one, %one/scale)
        %one/levels: uint8[b, t, 4] = QuantizeLinear(%one/Div, [1], [128])
        %one/product: float32[b, t, 2] = MatMulIntegerToFloat(%one/levels, @w8.paired.data(w.one), [1], @w8.paired.scales(w.one), [128])
        %y.one: float32[b, t, 2] = Mul(%one/product, %one/scale)
        %y.two: float32[b, t, 2] = MatMul(%x.two, @transpose(w.two))
        return %y.one, %y.two
      }"
    `);
    expect(storedWeights(graph).map(({ name, type, shape }) => [name, type, shape])).toEqual([
      ['transpose(w.two)', 'float32', [4, 2]],
      ['w8.paired.data(w.one)', 'int8', [4, 2]],
      ['w8.paired.scales(w.one)', 'float32', [2]],
    ]);
  });

  it('multiplies what 8 bits leave as well where two products are asked for, with a zero for every column of full levels', () => {
    const graph = projections('one');
    const report = runPasses(graph, [quantiseRows(new Map([['one', 2]]), 'full')])[0];
    expect(report).toMatchObject({ modified: true, counts: { single: 0, double: 1 } });
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "graph g(
        %x.one: float32[b, t, 4]
      ) {
        %one/Abs: float32[b, t, 4] = Abs(%x.one)
        %one/largest: float32[b, t, 1] = ReduceMax(%one/Abs) {axes=[2], keepdims=1}
        %one/scale: float32[b, t, 1] = Mul(%one/largest, [0.007874015718698502])
        %one/Div: float32[b, t, 4] = Div(%x.one, %one/scale)
        %one/levels: uint8[b, t, 4] = QuantizeLinear(%one/Div, [1], [128])
        %one/product: float32[b, t, 2] = MatMulIntegerToFloat(%one/levels, @w8.full.data(w.one), [1], @w8.full.scales(w.one), [128], @w8.full.zeros(w.one))
        %one/Round: float32[b, t, 4] = Round(%one/Div)
        %one/rest: float32[b, t, 4] = Sub(%one/Div, %one/Round)
        %one/fine_levels: uint8[b, t, 4] = QuantizeLinear(%one/rest, [0.003937007859349251], [128])
        %one/fine_product: float32[b, t, 2] = MatMulIntegerToFloat(%one/fine_levels, @w8.full.data(w.one), [0.003937007859349251], @w8.full.scales(w.one), [128], @w8.full.zeros(w.one))
        %one/Add: float32[b, t, 2] = Add(%one/product, %one/fine_product)
        %y.one: float32[b, t, 2] = Mul(%one/Add, %one/scale)
        return %y.one
      }"
    `);
  });
});

describe('try-rows', () => {
  it('adds a switch to each named projection, between its own product and the row-wise one', () => {
    const graph = projections('one', 'two', 'three');
    expect(runPasses(graph, [tryRows(new Set(['one', 'two']), 'paired')])[0]?.counts).toEqual({ tried: 2 });
    expect(graph.inputs.map(({ name }) => name)).toEqual(['x.one', 'x.two', 'x.three', 'row_wise.one', 'row_wise.two']);
    expect(graph.nodes.map(({ op }) => op).filter((op) => op.startsWith('MatMul'))).toEqual([
      'MatMul',
      'MatMulIntegerToFloat',
      'MatMul',
      'MatMulIntegerToFloat',
      'MatMul',
    ]);
  });
});
