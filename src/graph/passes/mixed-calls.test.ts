// What passes make of graphs for mixed calls: what reads a row's own memory is there twice.
import { describe, expect, it } from 'vitest';
import { float, int } from '../ir/attributes.ts';
import { Graph } from '../ir/graph.ts';
import { checkpoint, transpose } from '../ir/recipe.ts';
import { addPartSizes } from '../ops/call-parts.ts';
import { emitterAtEnd } from '../ops/emitter.ts';
import { printGraph } from '../print.ts';
import { eliminateDeadCode } from './eliminate-dead-code.ts';
import { injectLora } from './inject-lora.ts';
import { partAttention } from './part-attention.ts';
import { runPasses } from './pass.ts';
import { quantiseRows } from './quantise-rows.ts';
import { smoothInputs } from './smooth-inputs.ts';

function mixedGraph(): Graph {
  const graph = new Graph('g');
  addPartSizes(graph, 'tokens');
  return graph;
}

function attentionGraph(graph: Graph): Graph {
  const x = graph.addInput('x', 'float32', [1, 'tokens', 96]);
  const past = ['key', 'value'].map((name) => graph.addInput(`past.${name}`, 'float32', [1, 2, 'capacity', 16]));
  const lengths = [graph.addInput('seqlens', 'int32', [1]), graph.addInput('total', 'int32', [1])];
  const outputs = emitterAtEnd(graph, 'attention').emitAll(
    'GroupQueryAttention',
    [x, null, null, ...past, ...lengths],
    { num_heads: int(2), kv_num_heads: int(2) },
    { wanted: [true, true, true] },
  );
  ['y', 'present.key', 'present.value'].forEach((name, index) => {
    const output = outputs[index];
    if (output) graph.addOutput(output, name);
  });
  return graph;
}

const PAIR = {
  kind: 'linear',
  group: 'pair',
  parts: [
    { site: 'one', outFeatures: 2 },
    { site: 'two', outFeatures: 3 },
  ],
} as const;

function projectionGraph(graph: Graph): Graph {
  const x = graph.addInput('x', 'float32', [1, 'tokens', 4]);
  const norm = emitterAtEnd(graph, 'norm').emit('SimplifiedLayerNormalization', [x, graph.initializer(checkpoint('scale', [4]))], {
    epsilon: float(1e-5),
    axis: int(-1),
  });
  const weight = graph.initializer(transpose(checkpoint('w', [5, 4])));
  graph.addOutput(emitterAtEnd(graph, 'pair').emit('MatMul', [norm, weight], {}, { site: PAIR }), 'y');
  return graph;
}

describe('graphs for mixed calls', () => {
  it('have attention over the cache of the rows and over that of the chunk', () => {
    const graph = attentionGraph(mixedGraph());
    expect(runPasses(graph, [partAttention])[0]).toMatchObject({ modified: true, counts: { parted: 1 } });
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "graph g(
        %parts.tokens: int64[2]
        %x: float32[1, tokens, 96]
        %past.key: float32[1, 2, capacity, 16]
        %past.value: float32[1, 2, capacity, 16]
        %seqlens: int32[1]
        %total: int32[1]
        %rows.past.key: float32[rows, 2, rows.capacity, 16]
        %rows.past.value: float32[rows, 2, rows.capacity, 16]
        %rows.seqlens: int32[rows]
        %rows.total: int32[1]
      ) {
        %attention/parts.part0: float32[1, rows, 96], %attention/parts.part1: float32[1, chunk.tokens, 96] = Split(%x, %parts.tokens) {axis=1}
        %attention/rows: float32[rows, 1, 96] = Reshape(%attention/parts.part0, [-1, 1, 0])
        %attention/rows/GroupQueryAttention.output: float32[rows, 1, 32], %rows.present.key: float32[rows, 2, rows.capacity, 16], %rows.present.value: float32[rows, 2, rows.capacity, 16] = GroupQueryAttention(%attention/rows, _, _, %rows.past.key, %rows.past.value, %rows.seqlens, %rows.total) {num_heads=2, kv_num_heads=2}
        %attention/chunk/GroupQueryAttention.output: float32[1, chunk.tokens, 32], %present.key: float32[1, 2, capacity, 16], %present.value: float32[1, 2, capacity, 16] = GroupQueryAttention(%attention/parts.part1, _, _, %past.key, %past.value, %seqlens, %total) {num_heads=2, kv_num_heads=2}
        %attention/flat: float32[1, rows, 32] = Reshape(%attention/rows/GroupQueryAttention.output, [1, -1, 0])
        %y: float32[1, tokens, 32] = Concat(%attention/flat, %attention/chunk/GroupQueryAttention.output) {axis=1}
        return %y, %present.key, %present.value, %rows.present.key, %rows.present.value
      }"
    `);
  });

  it('have side paths of the rows and of the chunk, brought together before they are added', () => {
    const graph = projectionGraph(mixedGraph());
    const [report] = runPasses(graph, [injectLora('linear')]);
    expect(report?.loraGroups).toMatchObject([{ inputs: { a: 'lora.pair.a', ranks: 'lora.pair.ranks', b: ['lora.one.b', 'lora.two.b'] } }]);
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "graph g(
        %parts.tokens: int64[2]
        %x: float32[1, tokens, 4]
        %lora.pair.a: float32[1, 4, lora.pair.rank]
        %lora.pair.ranks: int64[2]
        %lora.one.b: float32[1, lora.one.rank, 2]
        %lora.two.b: float32[1, lora.two.rank, 3]
        %rows.lora.pair.ranks: int64[2]
        %rows.lora.pair.a: float32[rows, 4, rows.lora.pair.rank]
        %rows.lora.one.b: float32[rows, rows.lora.one.rank, 2]
        %rows.lora.two.b: float32[rows, rows.lora.two.rank, 3]
      ) {
        %norm/SimplifiedLayerNormalization: float32[1, tokens, 4] = SimplifiedLayerNormalization(%x, @scale) {epsilon=0.00001, axis=-1}
        %pair/MatMul: float32[1, tokens, 5] = MatMul(%norm/SimplifiedLayerNormalization, @transpose(w))
        %pair/lora/parts.part0: float32[1, rows, 4], %pair/lora/parts.part1: float32[1, chunk.tokens, 4] = Split(%norm/SimplifiedLayerNormalization, %parts.tokens) {axis=1}
        %pair/lora/rows: float32[rows, 1, 4] = Reshape(%pair/lora/parts.part0, [-1, 1, 0])
        %pair/lora/rows/a: float32[rows, 1, rows.lora.pair.rank] = MatMul(%pair/lora/rows, %rows.lora.pair.a)
        %pair/lora/rows/split.part0: float32[rows, 1, rows.lora.one.rank], %pair/lora/rows/split.part1: float32[rows, 1, rows.lora.two.rank] = Split(%pair/lora/rows/a, %rows.lora.pair.ranks) {axis=-1}
        %pair/lora/rows/b0: float32[rows, 1, 2] = MatMul(%pair/lora/rows/split.part0, %rows.lora.one.b)
        %pair/lora/rows/b1: float32[rows, 1, 3] = MatMul(%pair/lora/rows/split.part1, %rows.lora.two.b)
        %pair/lora/rows/concat: float32[rows, 1, 5] = Concat(%pair/lora/rows/b0, %pair/lora/rows/b1) {axis=-1}
        %pair/lora/chunk/a: float32[1, chunk.tokens, lora.pair.rank] = MatMul(%pair/lora/parts.part1, %lora.pair.a)
        %pair/lora/chunk/split.part0: float32[1, chunk.tokens, lora.one.rank], %pair/lora/chunk/split.part1: float32[1, chunk.tokens, lora.two.rank] = Split(%pair/lora/chunk/a, %lora.pair.ranks) {axis=-1}
        %pair/lora/chunk/b0: float32[1, chunk.tokens, 2] = MatMul(%pair/lora/chunk/split.part0, %lora.one.b)
        %pair/lora/chunk/b1: float32[1, chunk.tokens, 3] = MatMul(%pair/lora/chunk/split.part1, %lora.two.b)
        %pair/lora/chunk/concat: float32[1, chunk.tokens, 5] = Concat(%pair/lora/chunk/b0, %pair/lora/chunk/b1) {axis=-1}
        %pair/lora/part0/flat: float32[1, rows, 5] = Reshape(%pair/lora/rows/concat, [1, -1, 0])
        %pair/lora/part0/whole: float32[1, tokens, 5] = Concat(%pair/lora/part0/flat, %pair/lora/chunk/concat) {axis=1}
        %y: float32[1, tokens, 5] = Add(%pair/MatMul, %pair/lora/part0/whole)
        return %y
      }"
    `);
  });

  it('part the levels that side paths read, and their scales', () => {
    const graph = projectionGraph(mixedGraph());
    runPasses(graph, [
      injectLora('linear'),
      smoothInputs(new Map([['pair', Float32Array.of(1, 2, 4, 8)]])),
      quantiseRows(new Map([['pair', { products: 1, rotation: null, range: null }]]), 'paired'),
      eliminateDeadCode,
    ]);
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "graph g(
        %parts.tokens: int64[2]
        %x: float32[1, tokens, 4]
        %lora.pair.a: int8[1, 4, lora.pair.rank]
        %lora.pair.ranks: int64[2]
        %lora.one.b: float32[1, lora.one.rank, 2]
        %lora.two.b: float32[1, lora.two.rank, 3]
        %rows.lora.pair.ranks: int64[2]
        %rows.lora.pair.a: int8[rows, 4, rows.lora.pair.rank]
        %rows.lora.one.b: float32[rows, rows.lora.one.rank, 2]
        %rows.lora.two.b: float32[rows, rows.lora.two.rank, 3]
        %rows.lora.pair.scales: float32[rows, 1, rows.lora.pair.rank]
        %lora.pair.scales: float32[1, 1, lora.pair.rank]
      ) {
        %norm/SimplifiedLayerNormalization: float32[1, tokens, 4] = SimplifiedLayerNormalization(%x, @product(scale,values(36bc9bcd914f42a88650a2f637b9a2cd))) {epsilon=0.00001, axis=-1}
        %pair/lowest: float32[1, tokens, 1] = ReduceMin(%norm/SimplifiedLayerNormalization) {axes=[2], keepdims=1}
        %pair/highest: float32[1, tokens, 1] = ReduceMax(%norm/SimplifiedLayerNormalization) {axes=[2], keepdims=1}
        %pair/Neg: float32[1, tokens, 1] = Neg(%pair/lowest)
        %pair/largest: float32[1, tokens, 1] = Max(%pair/highest, %pair/Neg)
        %pair/of_largest: float32[1, tokens, 4] = Div(%norm/SimplifiedLayerNormalization, %pair/largest)
        %pair/levels: uint8[1, tokens, 4] = QuantizeLinear(%pair/of_largest, [0.007874015718698502], [128])
        %pair/lora/chunk/levels/parts.part0: uint8[1, rows, 4], %pair/lora/chunk/levels/parts.part1: uint8[1, chunk.tokens, 4] = Split(%pair/levels, %parts.tokens) {axis=1}
        %pair/lora/chunk/levels/rows: uint8[rows, 1, 4] = Reshape(%pair/lora/chunk/levels/parts.part0, [-1, 1, 0])
        %pair/product: float32[1, tokens, 5] = MatMulIntegerToFloat(%pair/levels, @w8.paired.data(product(w,values(e643b30f9b91de7a1236f2cb6c5290e4))), [0.007874015718698502], @w8.paired.scales(product(w,values(e643b30f9b91de7a1236f2cb6c5290e4))), [128])
        %pair/lora/rows/a_levels: float32[rows, 1, rows.lora.pair.rank] = MatMulIntegerToFloat(%pair/lora/chunk/levels/rows, %rows.lora.pair.a, [0.007874015718698502], %rows.lora.pair.scales, [128])
        %pair/lora/rows/split.part0: float32[rows, 1, rows.lora.one.rank], %pair/lora/rows/split.part1: float32[rows, 1, rows.lora.two.rank] = Split(%pair/lora/rows/a_levels, %rows.lora.pair.ranks) {axis=-1}
        %pair/lora/rows/b0: float32[rows, 1, 2] = MatMul(%pair/lora/rows/split.part0, %rows.lora.one.b)
        %pair/lora/rows/b1: float32[rows, 1, 3] = MatMul(%pair/lora/rows/split.part1, %rows.lora.two.b)
        %pair/lora/rows/concat: float32[rows, 1, 5] = Concat(%pair/lora/rows/b0, %pair/lora/rows/b1) {axis=-1}
        %pair/lora/chunk/a_levels: float32[1, chunk.tokens, lora.pair.rank] = MatMulIntegerToFloat(%pair/lora/chunk/levels/parts.part1, %lora.pair.a, [0.007874015718698502], %lora.pair.scales, [128])
        %pair/lora/chunk/split.part0: float32[1, chunk.tokens, lora.one.rank], %pair/lora/chunk/split.part1: float32[1, chunk.tokens, lora.two.rank] = Split(%pair/lora/chunk/a_levels, %lora.pair.ranks) {axis=-1}
        %pair/lora/chunk/b0: float32[1, chunk.tokens, 2] = MatMul(%pair/lora/chunk/split.part0, %lora.one.b)
        %pair/lora/chunk/b1: float32[1, chunk.tokens, 3] = MatMul(%pair/lora/chunk/split.part1, %lora.two.b)
        %pair/lora/chunk/concat: float32[1, chunk.tokens, 5] = Concat(%pair/lora/chunk/b0, %pair/lora/chunk/b1) {axis=-1}
        %pair/lora/part0/flat: float32[1, rows, 5] = Reshape(%pair/lora/rows/concat, [1, -1, 0])
        %pair/lora/part0/whole: float32[1, tokens, 5] = Concat(%pair/lora/part0/flat, %pair/lora/chunk/concat) {axis=1}
        %pair/with_side: float32[1, tokens, 5] = Add(%pair/product, %pair/lora/part0/whole)
        %y: float32[1, tokens, 5] = Mul(%pair/with_side, %pair/largest)
        return %y
      }"
    `);
  });

  it('are not made of others, and do without what changes more than linears', () => {
    expect(() => runPasses(attentionGraph(new Graph('g')), [partAttention])).toThrow('the graph is not one for mixed calls');
    expect(() => runPasses(projectionGraph(mixedGraph()), [injectLora('full')])).toThrow('mixed calls have no profile full');
  });
});
