import { describe, expect, it } from 'vitest';
import { int } from '../ir/attributes.ts';
import { Graph } from '../ir/graph.ts';
import { constant } from '../ir/recipe.ts';
import { emitterAtEnd } from '../ops/emitter.ts';
import { printGraph } from '../print.ts';
import { packAttention } from './pack-attention.ts';
import { runPasses } from './pass.ts';

/** Attention of 2 heads of 16 over a Split whose parts go in the given order. */
function attentionGraph(order: readonly number[], keyIsOutput = false): Graph {
  const graph = new Graph('g');
  const emitter = emitterAtEnd(graph, 'attention');
  const x = graph.addInput('x', 'float32', ['b', 't', 96]);
  const parts = emitter.emitAll(
    'Split',
    [x, graph.initializer(constant(BigInt64Array.of(32n, 32n, 32n)))],
    { axis: int(-1) },
    { wanted: [true, true, true] },
  );
  const [query, key, value] = order.map((part) => parts[part] ?? x);
  const past = ['key', 'value'].map((name) => graph.addInput(`past.${name}`, 'float32', ['b', 2, 'm', 16]));
  const lengths = [graph.addInput('seqlens', 'int32', ['b']), graph.addInput('total', 'int32', [1])];
  const outputs = emitter.emitAll(
    'GroupQueryAttention',
    [query ?? x, key ?? x, value ?? x, ...past, ...lengths],
    { num_heads: int(2), kv_num_heads: int(2) },
    { wanted: [true, true, true] },
  );
  for (const [index, output] of outputs.entries()) graph.addOutput(output, `y${index}`);
  if (keyIsOutput && key) graph.addOutput(key, 'key');
  return graph;
}

describe('pack-attention', () => {
  it('hands the Split over to the attention', () => {
    const graph = attentionGraph([0, 1, 2]);
    expect(runPasses(graph, [packAttention])).toEqual([{ pass: 'pack-attention', modified: true, counts: { packed: 1 } }]);
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "graph g(
        %x: float32[b, t, 96]
        %past.key: float32[b, 2, m, 16]
        %past.value: float32[b, 2, m, 16]
        %seqlens: int32[b]
        %total: int32[1]
      ) {
        %y0: float32[b, t, 32], %y1: float32[b, 2, m, 16], %y2: float32[b, 2, m, 16] = GroupQueryAttention(%x, _, _, %past.key, %past.value, %seqlens, %total) {num_heads=2, kv_num_heads=2}
        return %y0, %y1, %y2
      }"
    `);
  });

  it.each([
    ['the parts come in another order', [1, 0, 2], false],
    ['a part is used twice', [0, 1, 1], false],
    ['a part has another use', [0, 1, 2], true],
  ] as const)('changes nothing when %s', (_, order, keyIsOutput) => {
    const graph = attentionGraph(order, keyIsOutput);
    expect(runPasses(graph, [packAttention])[0]).toMatchObject({ modified: false, counts: { packed: 0 } });
    expect(graph.nodes.map(({ op }) => op)).toEqual(['Split', 'GroupQueryAttention']);
  });
});
