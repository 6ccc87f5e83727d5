import { describe, expect, it } from 'vitest';
import { float, int } from '../ir/attributes.ts';
import { Graph } from '../ir/graph.ts';
import { checkpoint, constant, transpose } from '../ir/recipe.ts';
import { emitterAtEnd } from '../ops/emitter.ts';
import { printGraph } from '../print.ts';
import { storedWeights } from '../serde.ts';
import { eliminateDeadCode } from './eliminate-dead-code.ts';
import { fuseProjections } from './fuse-projections.ts';
import { injectLora } from './inject-lora.ts';
import { runPasses } from './pass.ts';
import { quantiseRows, type RowProduct, type RowProducts } from './quantise-rows.ts';
import { smoothInputs } from './smooth-inputs.ts';
import { tryRows } from './try-rows.ts';

/** Neither turned nor with a common range. */
const asItIs = (products: RowProducts): RowProduct => ({ products, rotation: null, range: null });

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
    const report = runPasses(graph, [quantiseRows(new Map([['one', asItIs(1)]]), 'paired')])[0];
    expect(report).toMatchObject({ modified: true, counts: { single: 1, double: 0 } });
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "graph g(
        %x.one: float32[b, t, 4]
        %x.two: float32[b, t, 4]
      ) {
        %one/lowest: float32[b, t, 1] = ReduceMin(%x.one) {axes=[2], keepdims=1}
        %one/highest: float32[b, t, 1] = ReduceMax(%x.one) {axes=[2], keepdims=1}
        %one/Neg: float32[b, t, 1] = Neg(%one/lowest)
        %one/largest: float32[b, t, 1] = Max(%one/highest, %one/Neg)
        %one/of_largest: float32[b, t, 4] = Div(%x.one, %one/largest)
        %one/levels: uint8[b, t, 4] = QuantizeLinear(%one/of_largest, [0.007874015718698502], [128])
        %one/product: float32[b, t, 2] = MatMulIntegerToFloat(%one/levels, @w8.paired.data(w.one), [0.007874015718698502], @w8.paired.scales(w.one), [128])
        %y.one: float32[b, t, 2] = Mul(%one/product, %one/largest)
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

  it('takes the range of the whole tensor, in one node, where it has one row', () => {
    const graph = new Graph('g');
    const x = graph.addInput('x', 'float32', [1, 1, 4]);
    const site = { kind: 'linear', group: 'one', parts: [{ site: 'one', outFeatures: 2 }] } as const;
    const weight = graph.initializer(transpose(checkpoint('w', [2, 4])));
    graph.addOutput(emitterAtEnd(graph, 'one').emit('MatMul', [x, weight], {}, { site }), 'y');
    runPasses(graph, [injectLora('linear'), quantiseRows(new Map([['one', asItIs(1)]]), 'full')]);
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "graph g(
        %x: float32[1, 1, 4]
        %lora.one.a: int8[1, 4, lora.one.rank]
        %lora.one.b: float32[1, lora.one.rank, 2]
        %lora.one.scales: float32[1, 1, lora.one.rank]
      ) {
        %one/levels.q: uint8[1, 1, 4], %one/levels.scale: float32[], %one/levels.zero: uint8[] = DynamicQuantizeLinear(%x)
        %one/product: float32[1, 1, 2] = MatMulIntegerToFloat(%one/levels.q, @w8.full.data(w), %one/levels.scale, @w8.full.scales(w), %one/levels.zero, @w8.full.zeros(w))
        %one/lora/a_levels: float32[1, 1, lora.one.rank] = MatMulIntegerToFloat(%one/levels.q, %lora.one.a, %one/levels.scale, %lora.one.scales, %one/levels.zero)
        %one/lora/b: float32[1, 1, 2] = MatMul(%one/lora/a_levels, %lora.one.b)
        %y: float32[1, 1, 2] = Add(%one/product, %one/lora/b)
        return %y
      }"
    `);
  });

  it('multiplies what 8 bits leave as well where two products are asked for, with a zero for every column of full levels', () => {
    const graph = projections('one');
    const report = runPasses(graph, [quantiseRows(new Map([['one', asItIs(2)]]), 'full')])[0];
    expect(report).toMatchObject({ modified: true, counts: { single: 0, double: 1 } });
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "graph g(
        %x.one: float32[b, t, 4]
      ) {
        %one/lowest: float32[b, t, 1] = ReduceMin(%x.one) {axes=[2], keepdims=1}
        %one/highest: float32[b, t, 1] = ReduceMax(%x.one) {axes=[2], keepdims=1}
        %one/Neg: float32[b, t, 1] = Neg(%one/lowest)
        %one/largest: float32[b, t, 1] = Max(%one/highest, %one/Neg)
        %one/scale: float32[b, t, 1] = Mul(%one/largest, [0.007874015718698502])
        %one/Div: float32[b, t, 4] = Div(%x.one, %one/scale)
        %one/levels: uint8[b, t, 4] = QuantizeLinear(%one/Div, [1], [128])
        %one/Round: float32[b, t, 4] = Round(%one/Div)
        %one/rest: float32[b, t, 4] = Sub(%one/Div, %one/Round)
        %one/fine_levels: uint8[b, t, 4] = QuantizeLinear(%one/rest, [0.003937007859349251], [128])
        %one/product: float32[b, t, 2] = MatMulIntegerToFloat(%one/levels, @w8.full.data(w.one), [1], @w8.full.scales(w.one), [128], @w8.full.zeros(w.one))
        %one/fine_product: float32[b, t, 2] = MatMulIntegerToFloat(%one/fine_levels, @w8.full.data(w.one), [0.003937007859349251], @w8.full.scales(w.one), [128], @w8.full.zeros(w.one))
        %one/Add: float32[b, t, 2] = Add(%one/product, %one/fine_product)
        %y.one: float32[b, t, 2] = Mul(%one/Add, %one/scale)
        return %y.one
      }"
    `);
  });
});

describe('quantise-rows of turned inputs', () => {
  const turned = (range: number | null): string => {
    const graph = new Graph('g');
    const x = graph.addInput('x', 'float32', ['b', 't', 64]);
    const site = { kind: 'linear', group: 'one', parts: [{ site: 'one', outFeatures: 2 }] } as const;
    graph.addOutput(
      emitterAtEnd(graph, 'one').emit('MatMul', [x, graph.initializer(transpose(checkpoint('w', [2, 64])))], {}, { site }),
      'y',
    );
    runPasses(graph, [quantiseRows(new Map([['one', { products: 1, rotation: 32, range }]]), 'paired')]);
    return printGraph(graph);
  };

  it('multiplies blocks of x by a Hadamard matrix in the graph, those of the weight beforehand', () => {
    expect(turned(null)).toMatchInlineSnapshot(`
      "graph g(
        %x: float32[b, t, 64]
      ) {
        %one/blocks: float32[b, t, 2, 32] = Reshape(%x, [0, 0, 2, 32])
        %one/turned: float32[b, t, 2, 32] = MatMul(%one/blocks, @values(e1e55d42c8de99f8b74aa767950d8d34))
        %one/rotated: float32[b, t, 64] = Reshape(%one/turned, [0, 0, 64])
        %one/lowest: float32[b, t, 1] = ReduceMin(%one/rotated) {axes=[2], keepdims=1}
        %one/highest: float32[b, t, 1] = ReduceMax(%one/rotated) {axes=[2], keepdims=1}
        %one/Neg: float32[b, t, 1] = Neg(%one/lowest)
        %one/largest: float32[b, t, 1] = Max(%one/highest, %one/Neg)
        %one/of_largest: float32[b, t, 64] = Div(%one/rotated, %one/largest)
        %one/levels: uint8[b, t, 64] = QuantizeLinear(%one/of_largest, [0.007874015718698502], [128])
        %one/product: float32[b, t, 2] = MatMulIntegerToFloat(%one/levels, @w8.paired.data(hadamard32(w)), [0.007874015718698502], @w8.paired.scales(hadamard32(w)), [128])
        %y: float32[b, t, 2] = Mul(%one/product, %one/largest)
        return %y
      }"
    `);
  });

  it('needs no reductions where one range serves all rows', () => {
    expect(turned(12.7)).toMatchInlineSnapshot(`
      "graph g(
        %x: float32[b, t, 64]
      ) {
        %one/blocks: float32[b, t, 2, 32] = Reshape(%x, [0, 0, 2, 32])
        %one/turned: float32[b, t, 2, 32] = MatMul(%one/blocks, @values(e1e55d42c8de99f8b74aa767950d8d34))
        %one/rotated: float32[b, t, 64] = Reshape(%one/turned, [0, 0, 64])
        %one/levels: uint8[b, t, 64] = QuantizeLinear(%one/rotated, [0.10000000149011612], [128])
        %y: float32[b, t, 2] = MatMulIntegerToFloat(%one/levels, @w8.paired.data(hadamard32(w)), [0.10000000149011612], @w8.paired.scales(hadamard32(w)), [128])
        return %y
      }"
    `);
  });
});

describe('quantise-rows after fuse-projections', () => {
  it('makes one product a part over the same levels, and drops the split', () => {
    const graph = new Graph('g');
    const x = graph.addInput('x', 'float32', ['b', 't', 4]);
    for (const [name, outFeatures] of [
      ['gate', 2],
      ['up', 3],
    ] as const) {
      const site = { kind: 'linear', group: 'gate_up', parts: [{ site: name, outFeatures }] } as const;
      const weight = graph.initializer(transpose(checkpoint(`w.${name}`, [outFeatures, 4])));
      graph.addOutput(emitterAtEnd(graph, `mlp/${name}`).emit('MatMul', [x, weight], {}, { site }), `y.${name}`);
    }
    runPasses(graph, [fuseProjections, quantiseRows(new Map([['gate_up', asItIs(1)]]), 'paired')]);
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "graph g(
        %x: float32[b, t, 4]
      ) {
        %mlp/gate_up/lowest: float32[b, t, 1] = ReduceMin(%x) {axes=[2], keepdims=1}
        %mlp/gate_up/highest: float32[b, t, 1] = ReduceMax(%x) {axes=[2], keepdims=1}
        %mlp/gate_up/Neg: float32[b, t, 1] = Neg(%mlp/gate_up/lowest)
        %mlp/gate_up/largest: float32[b, t, 1] = Max(%mlp/gate_up/highest, %mlp/gate_up/Neg)
        %mlp/gate_up/of_largest: float32[b, t, 4] = Div(%x, %mlp/gate_up/largest)
        %mlp/gate_up/levels: uint8[b, t, 4] = QuantizeLinear(%mlp/gate_up/of_largest, [0.007874015718698502], [128])
        %mlp/gate_up/part0/product: float32[b, t, 2] = MatMulIntegerToFloat(%mlp/gate_up/levels, @w8.paired.data(rows(concat(w.gate,w.up),0,2)), [0.007874015718698502], @w8.paired.scales(rows(concat(w.gate,w.up),0,2)), [128])
        %y.gate: float32[b, t, 2] = Mul(%mlp/gate_up/part0/product, %mlp/gate_up/largest)
        %mlp/gate_up/part1/product: float32[b, t, 3] = MatMulIntegerToFloat(%mlp/gate_up/levels, @w8.paired.data(rows(concat(w.gate,w.up),2,3)), [0.007874015718698502], @w8.paired.scales(rows(concat(w.gate,w.up),2,3)), [128])
        %y.up: float32[b, t, 3] = Mul(%mlp/gate_up/part1/product, %mlp/gate_up/largest)
        return %y.gate, %y.up
      }"
    `);
  });

  it('has a side path read the levels too, with A in int8, where there is one product', () => {
    const graph = new Graph('g');
    const x = graph.addInput('x', 'float32', ['b', 't', 4]);
    const norm = emitterAtEnd(graph, 'norm').emit('SimplifiedLayerNormalization', [x, graph.initializer(checkpoint('scale', [4]))], {
      epsilon: float(1e-5),
      axis: int(-1),
    });
    const site = { kind: 'linear', group: 'one', parts: [{ site: 'one', outFeatures: 2 }] } as const;
    const weight = graph.initializer(transpose(checkpoint('w', [2, 4])));
    graph.addOutput(emitterAtEnd(graph, 'one').emit('MatMul', [norm, weight], {}, { site }), 'y');
    const smoothing = constant(Float32Array.of(1, 2, 4, 8));
    const reports = runPasses(graph, [
      injectLora('linear'),
      smoothInputs(new Map([['one', Float32Array.of(1, 2, 4, 8)]])),
      quantiseRows(new Map([['one', { products: 1, rotation: null, range: 5 }]]), 'paired'),
      eliminateDeadCode,
    ]);
    expect(reports[2]?.sideLevels).toEqual([{ id: 'one', scales: 'lora.one.scales', inFeatures: 4, smoothing, rotation: null }]);
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "graph g(
        %x: float32[b, t, 4]
        %lora.one.a: int8[b, 4, lora.one.rank]
        %lora.one.b: float32[b, lora.one.rank, 2]
        %lora.one.scales: float32[b, 1, lora.one.rank]
      ) {
        %norm/SimplifiedLayerNormalization: float32[b, t, 4] = SimplifiedLayerNormalization(%x, @product(scale,values(36bc9bcd914f42a88650a2f637b9a2cd))) {epsilon=0.00001, axis=-1}
        %one/levels: uint8[b, t, 4] = QuantizeLinear(%norm/SimplifiedLayerNormalization, [0.03937007859349251], [128])
        %one/product: float32[b, t, 2] = MatMulIntegerToFloat(%one/levels, @w8.paired.data(product(w,values(e643b30f9b91de7a1236f2cb6c5290e4))), [0.03937007859349251], @w8.paired.scales(product(w,values(e643b30f9b91de7a1236f2cb6c5290e4))), [128])
        %one/lora/a_levels: float32[b, t, lora.one.rank] = MatMulIntegerToFloat(%one/levels, %lora.one.a, [0.03937007859349251], %lora.one.scales, [128])
        %one/lora/b: float32[b, t, 2] = MatMul(%one/lora/a_levels, %lora.one.b)
        %y: float32[b, t, 2] = Add(%one/product, %one/lora/b)
        return %y
      }"
    `);
  });
});

describe('a scale for each row', () => {
  const ending = (profile: 'linear' | 'full'): string => {
    const graph = projections('one');
    runPasses(graph, [injectLora(profile), quantiseRows(new Map([['one', { products: 1, rotation: null, range: null }]]), 'paired')]);
    return printGraph(graph)
      .split('\n')
      .slice(profile === 'linear' ? -7 : -9)
      .join('\n');
  };

  it('stands once behind the sum of product and side path', () => {
    expect(ending('linear')).toMatchInlineSnapshot(`
      "  %one/product: float32[b, t, 2] = MatMulIntegerToFloat(%one/levels, @w8.paired.data(w.one), [0.007874015718698502], @w8.paired.scales(w.one), [128])
        %one/lora/a_levels: float32[b, t, lora.one.rank] = MatMulIntegerToFloat(%one/levels, %lora.one.a, [0.007874015718698502], %lora.one.scales, [128])
        %one/lora/b: float32[b, t, 2] = MatMul(%one/lora/a_levels, %lora.one.b)
        %one/with_side: float32[b, t, 2] = Add(%one/product, %one/lora/b)
        %y.one: float32[b, t, 2] = Mul(%one/with_side, %one/largest)
        return %y.one
      }"
    `);
  });

  it('stands behind each of them where a gain lies between', () => {
    expect(ending('full')).toMatchInlineSnapshot(`
      "  %one/scaled: float32[b, t, 2] = Mul(%one/product, %one/largest)
        %one/lora/a_levels: float32[b, t, lora.one.rank] = MatMulIntegerToFloat(%one/levels, %lora.one.a, [0.007874015718698502], %lora.one.scales, [128])
        %one/lora/a_scaled: float32[b, t, lora.one.rank] = Mul(%one/lora/a_levels, %one/largest)
        %one/lora/b: float32[b, t, 2] = MatMul(%one/lora/a_scaled, %lora.one.b)
        %one/lora/gain: float32[b, t, 2] = Mul(%one/scaled, %lora.one.gain)
        %one/lora/sum: float32[b, t, 2] = Add(%one/lora/gain, %one/lora/b)
        %y.one: float32[b, t, 2] = Add(%one/lora/sum, %lora.one.bias)
        return %y.one
      }"
    `);
  });
});

describe('try-rows', () => {
  it('adds a switch to each named projection, between its own product and the row-wise one', () => {
    const graph = projections('one', 'two', 'three');
    const trials = new Map(['one', 'two'].map((group) => [group, { rotation: null, hasRange: group === 'two' }]));
    expect(runPasses(graph, [tryRows(trials, 'paired')])[0]?.counts).toEqual({ tried: 2 });
    expect(graph.inputs.map(({ name }) => name)).toEqual(['x.one', 'x.two', 'x.three', 'row_wise.one', 'range.two', 'row_wise.two']);
    expect(graph.outputs.map(({ name }) => name)).toEqual(['y.one', 'y.two', 'y.three', 'largest.two']);
    expect(graph.nodes.map(({ op }) => op).filter((op) => op.startsWith('MatMul'))).toEqual([
      'MatMul',
      'MatMulIntegerToFloat',
      'MatMul',
      'MatMulIntegerToFloat',
      'MatMul',
    ]);
  });
});
