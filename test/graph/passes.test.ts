// Every pass on the same decoder, before and after, in ONNX Runtime.
import { describe, expect, it } from 'vitest';
import { buildLlama, llamaSites } from '../../src/architectures/index.ts';
import {
  type BlockForm,
  eliminateDeadCode,
  fuseProjections,
  fuseSkipNorms,
  injectLora,
  packAttention,
  type Pass,
  quantiseLinears,
  recipeShape,
  runPasses,
  type WeightRecipe,
} from '../../src/graph/index.ts';
import { quantisedAndBack } from './support/materialise.ts';
import { runGraph } from './support/run-graph.ts';
import { decoderFeeds, loraFeeds, type Row, seededAdapter, tinyCheckpoint, tinyLlama } from './support/tiny-llama.ts';

const config = { ...tinyLlama, attentionBias: true, mlpBias: true };
const rows: readonly Row[] = [{ tokenIds: [3, 14, 15, 92, 65] }, { tokenIds: [27, 18, 28, 18, 28] }];
/** Sums in another order. */
const REORDER_TOLERANCE = 5e-5;
/** Activations rounded to int8 by block, over two layers; relative to the mean size of the logits. */
const ACTIVATION_TOLERANCE = 0.04;

async function logitsAfter(passes: readonly Pass[], checkpoint = tinyCheckpoint, runRows = rows): Promise<Float32Array> {
  const graph = buildLlama(config, { maxContext: 64 });
  const groups = runPasses(graph, passes).flatMap(({ loraGroups = [] }) => loraGroups);
  const results = await runGraph(graph, checkpoint, { ...decoderFeeds(config, runRows, { capacity: 8 }), ...loraFeeds(groups, runRows) });
  return results.logits?.data ?? new Float32Array();
}

function meanDifference(left: Float32Array, right: Float32Array): number {
  expect(left.length).toBe(right.length);
  return left.reduce((sum, value, index) => sum + Math.abs(value - (right[index] ?? Number.NaN)), 0) / left.length;
}

function meanSize(values: Float32Array): number {
  return meanDifference(values, new Float32Array(values.length));
}

describe('in ONNX Runtime', () => {
  it.each([
    ['fuse-projections', [fuseProjections]],
    ['pack-attention', [fuseProjections, packAttention]],
    ['fuse-skip-norms', [fuseSkipNorms]],
    ['eliminate-dead-code', [eliminateDeadCode]],
    ['inject-lora-linear of rank 0', [injectLora('linear')]],
    ['inject-lora-full of rank 0', [injectLora('full')]],
  ] as const)('%s keeps the logits', async (_, passes) => {
    const before = await logitsAfter([]);
    expect(meanSize(before)).toBeGreaterThan(0.1);
    expect(meanDifference(await logitsAfter(passes), before)).toBeLessThan(REORDER_TOLERANCE);
  });

  it('inject-lora gives the same whether projections and norms were fused before or not', async () => {
    const adapter = seededAdapter(llamaSites(config), 'seed', (site) => (site.endsWith('.k') ? 0 : 3), true);
    const adapted = rows.map((row, index) => (index === 0 ? { ...row, adapter } : row));
    const apart = await logitsAfter([injectLora('full')], tinyCheckpoint, adapted);
    const fused = await logitsAfter([fuseProjections, packAttention, fuseSkipNorms, injectLora('full')], tinyCheckpoint, adapted);
    const late = await logitsAfter([fuseProjections, injectLora('full'), fuseSkipNorms], tinyCheckpoint, adapted);
    expect(meanDifference(apart, await logitsAfter([]))).toBeGreaterThan(0.05);
    expect(meanDifference(fused, apart)).toBeLessThan(REORDER_TOLERANCE);
    expect(meanDifference(late, apart)).toBeLessThan(REORDER_TOLERANCE);
  });

  it.each([
    [8, 32, null],
    [8, 64, null],
    [8, 64, 16],
    [8, 32, 32],
    [4, 32, null],
    [4, 32, 32],
  ] as const)(
    'quantise-linears at %s bits, blocks of %s and turned by %s computes with the quantised weights, fused or not',
    async (bits, blockSize, rotation) => {
      const fitting = (columns = 0) => (columns % blockSize === 0 ? blockSize : 32);
      const blocks = (weight: WeightRecipe): BlockForm => ({ size: fitting(recipeShape(weight)[1]), rotation });
      const rounded = await logitsAfter([], (name, elements) => {
        const values = tinyCheckpoint(name, elements);
        if (!/(proj|embed_tokens)\.weight$/.test(name)) return values;
        const columns = name.includes('down_proj') ? config.intermediateSize : config.hiddenSize;
        const form = { bits: name.includes('proj') ? bits : 8, blockSize: fitting(columns) } as const;
        return quantisedAndBack(values, elements / columns, { ...form, rotation: form.bits === 8 ? rotation : null });
      });
      for (const passes of [[quantiseLinears(bits, blocks)], [fuseProjections, quantiseLinears(bits, blocks)]]) {
        expect(meanDifference(await logitsAfter(passes), rounded) / meanSize(rounded)).toBeLessThan(ACTIVATION_TOLERANCE);
      }
    },
  );
});
