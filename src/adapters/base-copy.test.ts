// Full weights of the base beside an adapter: copies change nothing, everything else is refused.
import { describe, expect, it } from 'vitest';
import { adapterFiles, fixtureAdapter, type AdapterFilePair, type TensorTable } from '../../test/support/adapter-files.ts';
import { refusalOf } from '../../test/support/refusal.ts';
import { TINY_BASE, tinyWeights } from '../../test/support/tiny-base.ts';
import { systemClock } from '../core/index.ts';
import { float32Tensor, readSafetensors, tensorToFloat32, writeSafetensors, type SafetensorsTensor } from '../formats/index.ts';
import type { BaseWeights } from '../models/index.ts';
import { packAdapter, type PackedUpload } from './pack-adapter.ts';

const COPY = 'base_model.model.model.embed_tokens.base_layer.weight';
const SAVED = fixtureAdapter('tiny-adapters/saved-embedding');

async function pack(files: AdapterFilePair, weights: BaseWeights = tinyWeights()): Promise<PackedUpload> {
  return await packAdapter(files, { base: TINY_BASE, weights, maxRank: 128, clock: systemClock });
}

/** The adapter that PEFT saved, its copy of the embedding changed; null leaves it out. */
function withCopy(change: (copy: SafetensorsTensor, values: Float32Array) => SafetensorsTensor | null): AdapterFilePair {
  const { tensors } = readSafetensors(SAVED.tensors);
  const changed = [...tensors.values()].flatMap((tensor) =>
    tensor.name === COPY ? (change(tensor, tensorToFloat32(tensor)) ?? []) : tensor,
  );
  return { config: SAVED.config, tensors: writeSafetensors(changed) };
}

function scaledCopy(factor: number): AdapterFilePair {
  return withCopy((copy, values) =>
    float32Tensor(
      copy.name,
      copy.shape,
      values.map((value) => value * factor),
    ),
  );
}

describe('a full weight beside an adapter', () => {
  it('changes nothing when it is a copy of the base', async () => {
    const [withIt, without] = await Promise.all([pack(SAVED), pack(withCopy(() => null))]);
    expect(Buffer.compare(withIt.bytes, without.bytes)).toBe(0);
    expect(withIt.targetModules).toEqual(['embed_tokens']);
  });

  it('may be rounded, by the file or by a quantised base', async () => {
    const rounded = await pack(withCopy((copy, values) => float32Tensor(copy.name, copy.shape, values, 'BF16')));
    expect(Buffer.compare(rounded.bytes, (await pack(SAVED)).bytes)).toBe(0);
    await pack(scaledCopy(1.09));
  });

  it.each([1.11, 0.89, 0, -1])('is refused with its distance when it is the base times %d', async (factor) => {
    const refusal = await refusalOf(async () => await pack(scaledCopy(factor)));
    expect(refusal.code).toBe('unsupported_adapter');
    expect(refusal.message).toContain(`"${COPY}"`);
    expect(refusal.message).toContain(`relative distance ${Math.abs(factor - 1).toPrecision(3)} `);
    expect(refusal.message).toContain('save_embedding_layers=False');
  });

  it('is refused when only its last value differs, and greatly', async () => {
    const files = withCopy((copy, values) => float32Tensor(copy.name, copy.shape, values.with(-1, 1000)));
    expect((await refusalOf(async () => await pack(files))).message).toContain('relative distance');
  });

  it('is refused when the vocabulary was resized', async () => {
    const files = withCopy((copy, values) => float32Tensor(copy.name, [383, 64], values.subarray(64)));
    const refusal = await refusalOf(async () => await pack(files));
    expect(refusal.code).toBe('unsupported_adapter');
    expect(refusal.message).toMatch(/shape \[383, 64\], expected .*\[384, 64\].*resized/);
  });

  it('is refused when a value is no number', async () => {
    const files = withCopy((copy, values) => float32Tensor(copy.name, copy.shape, values.with(70, Number.NaN)));
    const refusal = await refusalOf(async () => await pack(files));
    expect(refusal.code).toBe('invalid_adapter');
    expect(refusal.message).toContain('value 70 is NaN');
  });

  it('of nothing but zeros fits a base of zeros alone', async () => {
    const zeros: BaseWeights = { ...tinyWeights(), readWeight: () => Promise.resolve(new Float32Array(384 * 64)) };
    await pack(scaledCopy(0), zeros);
    expect((await refusalOf(async () => await pack(SAVED, zeros))).message).toContain('relative distance Infinity');
  });

  it('is compared also for a module without LoRA', async () => {
    const q = 'base_model.model.model.layers.0.self_attn.q_proj';
    const head = await tinyWeights().readWeight('lm_head');
    const lora: TensorTable = {
      [`${q}.lora_A.weight`]: { shape: [1, 64], values: new Float32Array(64).fill(1) },
      [`${q}.lora_B.weight`]: { shape: [64, 1], values: new Float32Array(64).fill(1) },
    };
    const files = (values: Float32Array): AdapterFilePair =>
      adapterFiles({ r: 1, target_modules: ['q_proj'] }, { ...lora, 'base_model.model.lm_head.weight': { shape: [384, 64], values } });
    expect((await pack(files(head))).targetModules).toEqual(['q_proj']);
    const other = files(head.toReversed());
    expect((await refusalOf(async () => await pack(other))).message).toContain('"base_model.model.lm_head.weight"');
  });
});
