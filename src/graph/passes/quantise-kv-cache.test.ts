import { describe, expect, it } from 'vitest';
import { int } from '../ir/attributes.ts';
import { Graph } from '../ir/graph.ts';
import { emitterAtEnd } from '../ops/emitter.ts';
import { printGraph } from '../print.ts';
import { runPasses } from './pass.ts';
import { quantiseKvCache } from './quantise-kv-cache.ts';

/** Attention of 2 heads of 16 over packed query, key and value. */
function attentionGraph(): Graph {
  const graph = new Graph('g');
  const packed = graph.addInput('x', 'float32', ['b', 't', 96]);
  const past = ['key', 'value'].map((name) => graph.addInput(`past.0.${name}`, 'float32', ['b', 2, 'm', 16]));
  const lengths = [graph.addInput('seqlens', 'int32', ['b']), graph.addInput('total', 'int32', [1])];
  const outputs = emitterAtEnd(graph, 'attention').emitAll(
    'GroupQueryAttention',
    [packed, null, null, ...past, ...lengths],
    { num_heads: int(2), kv_num_heads: int(2) },
    { wanted: [true, true, true] },
  );
  for (const [index, name] of ['y', 'present.0.key', 'present.0.value'].entries())
    if (outputs[index]) graph.addOutput(outputs[index], name);
  return graph;
}

describe('quantise-kv-cache', () => {
  it('makes past and present int8 and asks for the scales of each', () => {
    const graph = attentionGraph();
    expect(runPasses(graph, [quantiseKvCache])).toEqual([{ pass: 'quantise-kv-cache', modified: true, counts: { quantised: 1 } }]);
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "graph g(
        %x: float32[b, t, 96]
        %past.0.key: int8[b, 2, m, 16]
        %past.0.value: int8[b, 2, m, 16]
        %seqlens: int32[b]
        %total: int32[1]
        %past.0.key.scale: float32[32]
        %past.0.value.scale: float32[32]
      ) {
        %y: float32[b, t, 32], %present.0.key: int8[b, 2, m, 16], %present.0.value: int8[b, 2, m, 16] = GroupQueryAttention(%x, _, _, %past.0.key, %past.0.value, %seqlens, %total, _, _, _, _, _, %past.0.key.scale, %past.0.value.scale) {num_heads=2, kv_num_heads=2, k_quant_type="PER_CHANNEL", v_quant_type="PER_CHANNEL", kv_cache_bit_width=8}
        return %y, %present.0.key, %present.0.value
      }"
    `);
  });

  it('leaves a graph without attention alone', () => {
    expect(runPasses(new Graph('g'), [quantiseKvCache])).toEqual([
      { pass: 'quantise-kv-cache', modified: false, counts: { quantised: 0 } },
    ]);
  });
});
