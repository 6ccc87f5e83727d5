import { describe, expect, it } from 'vitest';
import { int } from '../ir/attributes.ts';
import { Graph, type ProjectionSite } from '../ir/graph.ts';
import { checkpoint, recipeTensors, transpose } from '../ir/recipe.ts';
import { emitterAtEnd } from '../ops/emitter.ts';
import { printGraph } from '../print.ts';
import { storedWeights } from '../serde.ts';
import { runPasses } from './pass.ts';
import { type BlockForm, quantiseLinears } from './quantise-linears.ts';

const siteOf = (kind: ProjectionSite['kind'], group: string): ProjectionSite => ({
  kind,
  group,
  parts: [{ site: group, outFeatures: 64 }],
});

/** Embedding, linears of the given input sizes, and a tied head. */
function network(...widths: readonly number[]): Graph {
  const graph = new Graph('g');
  const emitter = emitterAtEnd(graph);
  const table = checkpoint('embed', [96, 64]);
  const ids = graph.addInput('ids', 'int64', ['b', 't']);
  const hidden = emitter
    .scope('embed')
    .emit('Gather', [graph.initializer(table), ids], { axis: int(0) }, { site: siteOf('embedding', 'embed') });
  for (const width of widths) {
    const x = graph.addInput(`x${width}`, 'float32', ['b', 't', width]);
    graph.addOutput(
      emitter
        .scope('o')
        .emit(
          'MatMul',
          [x, graph.initializer(transpose(checkpoint(`w${width}`, [64, width])))],
          {},
          { site: siteOf('linear', `layers.0.${width}`) },
        ),
      `y${width}`,
    );
  }
  graph.addOutput(
    emitter.scope('head').emit('MatMul', [hidden, graph.initializer(transpose(table))], {}, { site: siteOf('head', 'head') }),
    'logits',
  );
  return graph;
}

const asItIs = (): BlockForm => ({ size: 32, rotation: null });

describe('quantise-linears', () => {
  it('makes 8-bit blocks with zero points, and stores a tied pair once', () => {
    const graph = network(32);
    expect(runPasses(graph, [quantiseLinears(8, asItIs)])).toEqual([
      { pass: 'quantise-linears-8', modified: true, counts: { bits8: 3, bits4: 0, keptFloat32: 0 } },
    ]);
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "graph g(
        %ids: int64[b, t]
        %x32: float32[b, t, 32]
      ) {
        %embed/GatherBlockQuantized: float32[b, t, 64] = GatherBlockQuantized(@q8x32.data(embed):96x64, %ids, @q8x32.scales(embed), @q8x32.zeros(embed)) {bits=8, block_size=32, gather_axis=0, quantize_axis=1}
        %y32: float32[b, t, 64] = MatMulNBits(%x32, @q8x32.data(w32), @q8x32.scales(w32), @q8x32.zeros(w32)) {K=32, N=64, bits=8, block_size=32, accuracy_level=4}
        %logits: float32[b, t, 96] = MatMulNBits(%embed/GatherBlockQuantized, @q8x32.data(embed), @q8x32.scales(embed), @q8x32.zeros(embed)) {K=64, N=96, bits=8, block_size=32, accuracy_level=4}
        return %y32, %logits
      }"
    `);
    const keys = storedWeights(graph).map(({ key }) => key);
    expect(keys).toHaveLength(7);
    expect(new Set(keys).size).toBe(6);
  });

  it('turns what is multiplied, and what is looked up back, where a weight is held turned', () => {
    const graph = network(32);
    const rotations = { w32: 16, embed: 32 } as const;
    runPasses(graph, [
      quantiseLinears(8, (weight) => ({ size: 32, rotation: rotations[recipeTensors(weight).join() as keyof typeof rotations] ?? null })),
    ]);
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "graph g(
        %ids: int64[b, t]
        %x32: float32[b, t, 32]
      ) {
        %embed/GatherBlockQuantized: float32[b, t, 64] = GatherBlockQuantized(@q8x32.data(hadamard32(embed)):96x64, %ids, @q8x32.scales(hadamard32(embed)), @q8x32.zeros(hadamard32(embed))) {bits=8, block_size=32, gather_axis=0, quantize_axis=1}
        %embed/blocks: float32[b, t, 2, 32] = Reshape(%embed/GatherBlockQuantized, [0, 0, 2, 32])
        %embed/turned: float32[b, t, 2, 32] = MatMul(%embed/blocks, @values(e1e55d42c8de99f8b74aa767950d8d34))
        %embed/rotated: float32[b, t, 64] = Reshape(%embed/turned, [0, 0, 64])
        %o/blocks: float32[b, t, 2, 16] = Reshape(%x32, [0, 0, 2, 16])
        %o/turned: float32[b, t, 2, 16] = MatMul(%o/blocks, @values(9697dc86ed524e990c485cd1bac85e0a))
        %o/rotated: float32[b, t, 32] = Reshape(%o/turned, [0, 0, 32])
        %y32: float32[b, t, 64] = MatMulNBits(%o/rotated, @q8x32.data(hadamard16(w32)), @q8x32.scales(hadamard16(w32)), @q8x32.zeros(hadamard16(w32))) {K=32, N=64, bits=8, block_size=32, accuracy_level=4}
        %head/blocks: float32[b, t, 2, 32] = Reshape(%embed/rotated, [0, 0, 2, 32])
        %head/turned: float32[b, t, 2, 32] = MatMul(%head/blocks, @values(e1e55d42c8de99f8b74aa767950d8d34))
        %head/rotated: float32[b, t, 64] = Reshape(%head/turned, [0, 0, 64])
        %logits: float32[b, t, 96] = MatMulNBits(%head/rotated, @q8x32.data(hadamard32(embed)), @q8x32.scales(hadamard32(embed)), @q8x32.zeros(hadamard32(embed))) {K=64, N=96, bits=8, block_size=32, accuracy_level=4}
        return %y32, %logits
      }"
    `);
    const ofPair = storedWeights(graph).flatMap(({ key }) => (key.includes('(embed)') ? [key] : []));
    expect(new Set(ofPair).size).toBe(3);
  });

  it('makes exact 4-bit blocks of linears, and keeps embedding and head at 8 bits', () => {
    const graph = network(64);
    expect(runPasses(graph, [quantiseLinears(4, asItIs)])[0]?.counts).toEqual({ bits8: 2, bits4: 1, keptFloat32: 0 });
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "graph g(
        %ids: int64[b, t]
        %x64: float32[b, t, 64]
      ) {
        %embed/GatherBlockQuantized: float32[b, t, 64] = GatherBlockQuantized(@q8x32.data(embed):96x64, %ids, @q8x32.scales(embed), @q8x32.zeros(embed)) {bits=8, block_size=32, gather_axis=0, quantize_axis=1}
        %o/MatMulNBits: float32[b, t, 64] = MatMulNBits(%x64, @q4x32.data(w64), @q4x32.scales(w64)) {K=64, N=64, bits=4, block_size=32, accuracy_level=4}
        %o/blocks: float32[b, t, 2, 32] = Reshape(%x64, [0, 0, 2, 32])
        %o/block_sums: float32[b, t, 2] = ReduceSum(%o/blocks, [-1]) {keepdims=0}
        %o/minimums: float32[b, t, 64] = MatMul(%o/block_sums, @q4x32.minimums(w64))
        %y64: float32[b, t, 64] = Add(%o/MatMulNBits, %o/minimums)
        %logits: float32[b, t, 96] = MatMulNBits(%embed/GatherBlockQuantized, @q8x32.data(embed), @q8x32.scales(embed), @q8x32.zeros(embed)) {K=64, N=96, bits=8, block_size=32, accuracy_level=4}
        return %y64, %logits
      }"
    `);
  });

  it('keeps what is no whole number of blocks in float32, and counts it', () => {
    const graph = network(48, 64);
    expect(runPasses(graph, [quantiseLinears(8, asItIs)])[0]?.counts).toEqual({ bits8: 3, bits4: 0, keptFloat32: 1 });
    expect(graph.nodes.filter(({ op }) => op === 'MatMul')).toHaveLength(1);
  });

  it('shares the block sums of one activation', () => {
    const graph = network(64);
    const x = graph.value('x64');
    if (!x) throw new Error('the network has an input x64');
    graph.addOutput(
      emitterAtEnd(graph, 'other').emit(
        'MatMul',
        [x, graph.initializer(transpose(checkpoint('v', [64, 64])))],
        {},
        { site: siteOf('linear', 'layers.0.v') },
      ),
      'v',
    );
    runPasses(graph, [quantiseLinears(4, asItIs)]);
    expect(graph.nodes.filter(({ op }) => op === 'ReduceSum')).toHaveLength(1);
  });

  it('leaves a MatMul that is no projection', () => {
    const graph = new Graph('g');
    const x = graph.addInput('x', 'float32', ['b', 't', 64]);
    graph.addOutput(emitterAtEnd(graph).emit('MatMul', [x, graph.initializer(checkpoint('w', [64, 64]))]), 'y');
    expect(runPasses(graph, [quantiseLinears(8, asItIs)])[0]).toMatchObject({ modified: false, counts: { bits8: 0 } });
  });
});
