import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { storedWeights, type WeightRecipe } from '../../graph/index.ts';
import { compileDecoder } from '../compile-decoder.ts';
import { llamaCheckpointTensors, permuteRows, unpermuteRows } from './checkpoint.ts';
import type { LlamaConfig } from './config.ts';
import { llamaSites } from './sites.ts';

const config: LlamaConfig = {
  family: 'llama',
  vocabularySize: 96,
  hiddenSize: 64,
  intermediateSize: 96,
  layerCount: 2,
  headCount: 4,
  kvHeadCount: 2,
  headSize: 16,
  maxContext: 512,
  rmsEpsilon: 1e-5,
  ropeTheta: 10_000,
  ropeScaling: { kind: 'none' },
  tiedHead: false,
  attentionBias: true,
  mlpBias: true,
  slidingWindow: null,
};

/** llama.cpp's LlamaModel.permute: reshape to [heads, 2, half, width], exchange axes 1 and 2. */
function permute(rows: readonly number[], rowCount: number, heads: number): number[] {
  const half = rowCount / heads / 2;
  const width = rows.length / rowCount;
  const order = Array.from({ length: rowCount }, (_, row) => {
    const head = Math.floor(row / (2 * half));
    const [pair, side] = [Math.floor((row % (2 * half)) / 2), row % 2];
    return head * 2 * half + side * half + pair;
  });
  return order.flatMap((source) => rows.slice(source * width, (source + 1) * width));
}

function checkpointsOf(recipe: WeightRecipe): readonly (readonly [string, readonly number[]])[] {
  switch (recipe.kind) {
    case 'checkpoint':
      return [[recipe.tensor, recipe.shape]];
    case 'concat':
      return recipe.parts.flatMap(checkpointsOf);
    case 'transpose':
    case 'rows':
    case 'rotated':
    case 'quantised':
    case 'rowQuantised':
    case 'product':
      return checkpointsOf(recipe.of);
    case 'values':
      return [];
  }
}

describe('llamaCheckpointTensors', () => {
  it.each(['fp32', 'int8', 'int4'] as const)('lists exactly what a graph at %s reads, with its shapes', (precision) => {
    for (const tiedHead of [true, false]) {
      const { graph } = compileDecoder({ ...config, tiedHead }, { precision, lora: 'none', maxContext: 512 });
      const read = new Map(storedWeights(graph).flatMap(({ recipe }) => checkpointsOf(recipe)));
      const listed = new Map(llamaCheckpointTensors({ ...config, tiedHead }).map(({ name, shape }) => [name, shape]));
      expect(Object.fromEntries(read)).toEqual(Object.fromEntries(listed));
    }
  });

  it('knows the names of GGUF and which rows its converter permutes', () => {
    const names = new Map(llamaCheckpointTensors(config).map(({ name, ggufName }) => [name, ggufName]));
    expect(names.get('model.layers.1.mlp.down_proj.weight')).toBe('blk.1.ffn_down.weight');
    expect(names.get('lm_head.weight')).toBe('output.weight');
    const permuted = llamaCheckpointTensors({ ...config, layerCount: 1 }).filter(({ permutedHeads }) => permutedHeads !== null);
    expect(permuted.map(({ ggufName, permutedHeads }) => [ggufName, permutedHeads])).toEqual([
      ['blk.0.attn_q.weight', 4],
      ['blk.0.attn_q.bias', 4],
      ['blk.0.attn_k.weight', 2],
      ['blk.0.attn_k.bias', 2],
    ]);
  });
});

describe('unpermuteRows', () => {
  it("undoes llama.cpp's permutation of any heads, rows and widths", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 3 }), (heads, half, width) => {
        const rowCount = heads * half * 2;
        const rows = Array.from({ length: rowCount * width }, (_, index) => index);
        const permuted = Float32Array.from(permute(rows, rowCount, heads));
        expect([...unpermuteRows(permuted, rowCount, heads)]).toEqual(rows);
        expect(permuteRows(Float32Array.from(rows), rowCount, heads)).toEqual(permuted);
      }),
      { seed: 7 },
    );
  });

  it('refuses rows that no even head has', () => {
    expect(() => unpermuteRows(new Float32Array(6), 6, 2)).toThrow("6 values in 6 rows of 2 heads can't be unpermuted");
  });
});

describe('llamaSites', () => {
  it('names the sites of the adapter inputs of the full profile, all of them', () => {
    const { loraGroups } = compileDecoder(config, { precision: 'fp32', lora: 'full', maxContext: 512 });
    expect(loraGroups.flatMap(({ parts }) => parts.map(({ site }) => site))).toEqual(llamaSites(config).map(({ id }) => id));
    expect(loraGroups.map(({ id }) => id).slice(0, 6)).toEqual([
      'embed',
      'layers.0.qkv',
      'layers.0.o',
      'layers.0.gate_up',
      'layers.0.down',
      'layers.1.qkv',
    ]);
  });

  it('leaves no trace of adapters in a graph without them', () => {
    const { graph, loraGroups } = compileDecoder(config, { precision: 'int8', lora: 'none', maxContext: 512 });
    expect(loraGroups).toEqual([]);
    expect(graph.inputs.filter(({ name }) => name.includes('lora'))).toEqual([]);
    expect(graph.nodes.filter(({ name }) => name.includes('lora'))).toEqual([]);
  });

  it('refuses a context beyond the one of the model', () => {
    expect(() => compileDecoder(config, { precision: 'fp32', lora: 'none', maxContext: 513 })).toThrow(
      'a context of 513 was asked for, expected 1 to 512',
    );
  });
});
