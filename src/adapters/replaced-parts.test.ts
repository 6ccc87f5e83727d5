// Tensors of the base inside an adapter's file: what each becomes in the packed form, and which are refused.
import { describe, expect, it } from 'vitest';
import { adapterFiles, type TensorTable } from '../../test/support/adapter-files.ts';
import { refusalOf } from '../../test/support/refusal.ts';
import { TINY_BASE, tinyWeights } from '../../test/support/tiny-base.ts';
import { systemClock } from '../core/index.ts';
import type { BaseModelDescription } from '../models/index.ts';
import { packAdapter, type PackedUpload } from './pack-adapter.ts';
import { decodePacked, mergedTensors, packedArray } from './packed.ts';

const Q = 'model.layers.0.self_attn.q_proj';
const ROWS = 'model.embed_tokens.token_adapter.trainable_tokens_delta';

function tensor(shape: readonly number[], seed = 1): TensorTable[string] {
  const length = shape.reduce((product, size) => product * size, 1);
  return { shape, values: Float32Array.from({ length }, (_, index) => Math.sin(seed * 100 + index)) };
}

const LORA: TensorTable = { [`${Q}.lora_A.weight`]: tensor([1, 64]), [`${Q}.lora_B.weight`]: tensor([64, 1], 2) };

async function pack(fields: Record<string, unknown>, tensors: TensorTable, base: BaseModelDescription = TINY_BASE): Promise<PackedUpload> {
  const files = adapterFiles({ r: 1, target_modules: ['q_proj'], ...fields }, { ...LORA, ...tensors });
  return await packAdapter(files, { base, weights: tinyWeights(), maxRank: 3, clock: systemClock });
}

describe('trained rows', () => {
  it('are a LoRA of embedding and tied head, one rank a token', async () => {
    const upload = await pack({ trainable_token_indices: [9, 4] }, { [ROWS]: tensor([2, 64]) });
    expect(upload).toMatchObject({ kind: 'lora', rank: 2, targetModules: ['embed_tokens', 'lm_head', 'q_proj'] });
    expect(decodePacked(upload.bytes).header.sites.map(({ site, rank }) => [site, rank])).toEqual([
      ['layers.0.q', 1],
      ['embed', 2],
      ['head', 2],
    ]);
  });

  it('replace rows when merged, also when they are too many for a side path', async () => {
    const base = await tinyWeights().readWeight('lm_head');
    for (const tokenIds of [
      [9, 4],
      [9, 4, 0, 383],
    ]) {
      const rows = tensor([tokenIds.length, 64]);
      const upload = await pack({ trainable_token_indices: tokenIds }, { [ROWS]: rows });
      expect(upload.kind).toBe(tokenIds.length > 3 ? 'lora-full' : 'lora');
      const merges = mergedTensors(decodePacked(upload.bytes), TINY_BASE.sites);
      const expected = base.slice();
      tokenIds.forEach((token, index) => expected.set(rows.values.subarray(index * 64, (index + 1) * 64), token * 64));
      for (const name of ['model.embed_tokens.weight', 'lm_head.weight']) {
        const merged = merges.get(name)?.(base) ?? new Float32Array();
        expect(Math.max(...merged.map((value, index) => Math.abs(value - (expected[index] ?? Number.NaN))))).toBeLessThan(1e-6);
      }
    }
  });

  it.each<[string, Record<string, unknown>, TensorTable, RegExp]>([
    ['of tokens beyond the vocabulary', { trainable_token_indices: [384] }, { [ROWS]: tensor([1, 64]) }, /token id 384.*vocabulary of 384/],
    ['of another count', { trainable_token_indices: [1, 2] }, { [ROWS]: tensor([3, 64]) }, /shape \[3, 64\], expected \[2, 64\]/],
    ['of another width', { trainable_token_indices: [1] }, { [ROWS]: tensor([1, 48]) }, /shape \[1, 48\], expected \[1, 64\]/],
    [
      'of a head with other tokens that are not there',
      { trainable_token_indices: { embed_tokens: [1], lm_head: [2] } },
      { [ROWS]: tensor([1, 64]) },
      /names "lm_head", but the file has no token_adapter/,
    ],
    [
      'of a Linear',
      { trainable_token_indices: { o_proj: [1] } },
      { 'model.layers.0.self_attn.o_proj.token_adapter.trainable_tokens_delta': tensor([1, 64]) },
      /has no rows of tokens/,
    ],
    [
      'tied to a head with a full weight',
      { trainable_token_indices: [1], modules_to_save: ['lm_head'] },
      { [ROWS]: tensor([1, 64]), 'lm_head.weight': tensor([384, 64]) },
      /change the head tied to it/,
    ],
  ])('%s are refused', async (_, fields, tensors, message) => {
    expect((await refusalOf(async () => await pack(fields, tensors))).message).toMatch(message);
  });
});

describe('full weights', () => {
  it('are kept as they are, under the name of the checkpoint', async () => {
    const [norm, head] = [tensor([64]), tensor([384, 64])];
    const tensors = { 'base_model.model.model.norm.weight': norm, 'lm_head.weight': head };
    const upload = await pack({ modules_to_save: ['model.norm', 'lm_head'] }, tensors);
    expect(upload).toMatchObject({ kind: 'lora-full', rank: 1, targetModules: ['lm_head', 'norm', 'q_proj'] });
    const adapter = decodePacked(upload.bytes);
    expect(adapter.header.full?.map((part) => [part.tensor, [...packedArray(adapter, part.values)]])).toEqual([
      ['model.norm.weight', [...norm.values]],
      ['lm_head.weight', [...head.values]],
    ]);
  });

  it.each<[string, TensorTable, RegExp]>([
    ['another shape', { 'model.norm.weight': tensor([63]) }, /shape \[63\], expected the base's own \[64\]/],
    ['a module that the base lacks', { 'model.layers.5.norm.weight': tensor([64]) }, /"model.layers.5.norm" is not in base tiny-llama/],
    [
      'a bias that the base lacks',
      { 'model.norm.weight': tensor([64]), 'model.norm.bias': tensor([64]) },
      /replaces model.norm.bias, which base/,
    ],
    ['an infinite value', { 'model.norm.weight': { shape: [64], values: new Float32Array(64).fill(Infinity) } }, /value 0 is Infinity/],
  ])('with %s are refused', async (_, tensors, message) => {
    expect((await refusalOf(async () => await pack({ modules_to_save: ['norm'] }, tensors))).message).toMatch(message);
  });
});

it('a trained bias of a module that has none in the base is refused', async () => {
  const refusal = await refusalOf(async () => await pack({ bias: 'all' }, { [`${Q}.base_layer.bias`]: tensor([64]) }));
  expect(refusal.message).toContain(`replaces ${Q}.bias, which base tiny-llama does not have`);
});
