// GGUF adapters as llama.cpp's converter writes them (test/fixtures/tiny-adapters-gguf), and files that must be refused.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { fixtureAdapter } from '../../test/support/adapter-files.ts';
import { refusalOf } from '../../test/support/refusal.ts';
import { fixturePath } from '../../test/support/repository.ts';
import { TINY_BASE, tinyWeights } from '../../test/support/tiny-base.ts';
import { systemClock } from '../core/index.ts';
import { type GgufTensorContent, writeGguf } from '../formats/index.ts';
import { peftFromGguf } from './gguf-adapter.ts';
import { packAdapter } from './pack-adapter.ts';
import { decodePacked, type PackedAdapter, packedArray } from './packed.ts';
import type { AdapterFiles } from './validate.ts';

function ggufFixture(name: string): Uint8Array {
  return readFileSync(fixturePath(`tiny-adapters-gguf/${name}.gguf`));
}

async function packed(files: AdapterFiles): Promise<PackedAdapter> {
  const context = { base: TINY_BASE, weights: tinyWeights(), maxRank: 128, clock: systemClock };
  return decodePacked((await packAdapter(files, context)).bytes);
}

describe('a GGUF adapter', () => {
  it.each(['qv-r8', 'linears-f16', 'linears-bf16', 'embedding'])('is the adapter that it was made from, bit for bit: %s', async (name) => {
    const converted = await packed(await peftFromGguf(ggufFixture(name), TINY_BASE));
    const original = await packed(fixtureAdapter(`tiny-adapters/${name}`));
    expect(converted.header).toEqual(original.header);
    expect(Buffer.compare(converted.bytes, original.bytes)).toBe(0);
  });

  it('may be quantised', async () => {
    const converted = await packed(await peftFromGguf(ggufFixture('qv-r8-q8'), TINY_BASE));
    const original = await packed(fixtureAdapter('tiny-adapters/qv-r8'));
    const [site] = original.header.sites;
    const [q8, exact] = [
      packedArray(converted, converted.header.sites[0]?.a ?? { offset: 0, length: 0 }),
      packedArray(original, site?.a ?? { offset: 0, length: 0 }),
    ];
    const largest = Math.max(...exact.map(Math.abs));
    const differences = exact.map((value, index) => Math.abs(value - (q8[index] ?? Number.NaN)));
    // Half a step of Q8_0 is the largest value of a block / 254, its scale is a float16.
    expect(Math.max(...differences)).toBeLessThan(largest / 250);
    expect(Math.max(...differences)).toBeGreaterThan(0);
  });

  it('of alpha 0 has scale 1, as in llama.cpp, whatever the ranks', async () => {
    const tensors = [...lora('blk.0.attn_v.weight', 2), ...lora('blk.1.attn_v.weight', 3)];
    const { config } = await peftFromGguf(writeGguf(metadata({ 'adapter.lora.alpha': 0 }), tensors), TINY_BASE);
    expect(JSON.parse(Buffer.from(config).toString())).toMatchObject({
      lora_alpha: 2,
      rank_pattern: { 'model.layers.0.self_attn.v_proj': 2, 'model.layers.1.self_attn.v_proj': 3 },
      alpha_pattern: { 'model.layers.1.self_attn.v_proj': 3 },
    });
  });
});

function metadata(changes: Readonly<Record<string, string | number | null>> = {}): Map<string, string | number> {
  const plain = { 'general.architecture': 'llama', 'general.type': 'adapter', 'adapter.type': 'lora', 'adapter.lora.alpha': 4 };
  return new Map(Object.entries({ ...plain, ...changes }).filter((pair): pair is [string, string | number] => pair[1] !== null));
}

/** LoRA of a Linear [out 32, in 64], or other shapes. */
function lora(name: string, rank: number, shapeOfA = [rank, 64], shapeOfB = [32, rank], fill = 0.5): readonly GgufTensorContent[] {
  const tensor = (part: string, shape: readonly number[]): GgufTensorContent => {
    const values = new Float32Array(shape.reduce((product, size) => product * size, 1)).fill(fill);
    return { name: `${name}.lora_${part}`, type: 'F32', shape, bytes: new Uint8Array(values.buffer) };
  };
  return [tensor('a', shapeOfA), tensor('b', shapeOfB)];
}

const V = 'blk.0.attn_v.weight';
const PLAIN = lora(V, 2);
const [PLAIN_A] = PLAIN as [GgufTensorContent];

describe('a GGUF file that is no adapter of the base is refused:', () => {
  it.each<[string, Map<string, string | number>, readonly GgufTensorContent[], RegExp]>([
    ['a model', metadata({ 'general.type': 'model' }), PLAIN, /"general.type" is "model", expected "adapter"/],
    ['no type', metadata({ 'general.type': null }), PLAIN, /"general.type" is missing/],
    ['a control vector', metadata({ 'adapter.type': 'control_vector' }), PLAIN, /"adapter.type" is "control_vector", expected "lora"/],
    ['another architecture', metadata({ 'general.architecture': 'qwen2' }), PLAIN, /"general.architecture" is "qwen2", expected "llama"/],
    ['no alpha', metadata({ 'adapter.lora.alpha': null }), PLAIN, /"adapter.lora.alpha" is missing, expected a number/],
    ['an alpha that is text', metadata({ 'adapter.lora.alpha': '4' }), PLAIN, /"adapter.lora.alpha" is "4"/],
    ['an infinite alpha', metadata({ 'adapter.lora.alpha': Infinity }), PLAIN, /"adapter.lora.alpha" is null, expected a number/],
    [
      'activated LoRA',
      metadata({ 'adapter.alora.invocation_tokens': 'x' }),
      PLAIN,
      /"adapter.alora.invocation_tokens" is "x", which is not supported/,
    ],
    ['no tensors', metadata(), [], /the file has no tensors/],
    ['A alone', metadata(), [PLAIN_A], /lora_a" has no "blk.0.attn_v.weight.lora_b"/],
    ['a norm', metadata(), [...PLAIN, { ...PLAIN_A, name: 'blk.0.attn_norm.weight' }], /attn_norm.weight" is not one of a LoRA/],
    ['LoRA of a norm', metadata(), lora('blk.0.attn_norm.weight', 2), /blk.0.attn_norm.weight.lora_a: lora_a is|cannot be adapted/],
    ['an unknown layer', metadata(), lora('blk.7.attn_v.weight', 2), /blk.7.attn_v.weight.lora_a" is not of base tiny-llama \(2 layers\)/],
    ['a tied head', metadata(), lora('output.weight', 2, [2, 64], [384, 2]), /its head is tied to the embedding/],
    ['a narrow A', metadata(), lora(V, 2, [2, 48]), /lora_a is \[2, 48\] and lora_b \[32, 2\], expected \[r, 64\] and \[32, r\]/],
    ['a tall B', metadata(), lora(V, 2, [2, 64], [48, 2]), /lora_b \[48, 2\]/],
    ['other ranks of A and B', metadata(), lora(V, 2, [2, 64], [32, 3]), /lora_a is \[2, 64\] and lora_b \[32, 3\]/],
    ['rank 0', metadata(), lora(V, 0), /with r above 0/],
    ['an embedding that is not flipped', metadata(), lora('token_embd.weight', 2, [2, 384], [64, 2]), /expected \[384, r\] and \[64, r\]/],
  ])('%s', async (_, pairs, tensors, message) => {
    const refusal = await refusalOf(async () => await peftFromGguf(writeGguf(pairs, tensors), TINY_BASE));
    expect(['invalid_adapter', 'unsupported_adapter']).toContain(refusal.code);
    expect(refusal.message).toMatch(message);
  });

  it('values that are no numbers', async () => {
    const files = await peftFromGguf(writeGguf(metadata(), lora(V, 2, undefined, undefined, Number.NaN)), TINY_BASE);
    expect((await refusalOf(async () => await packed(files))).message).toContain('value 0 is NaN');
  });

  it('any file that is cut off', async () => {
    const whole = writeGguf(metadata(), PLAIN);
    for (let length = 0; length < whole.length - 1; length += 7) {
      const refusal = await refusalOf(async () => await peftFromGguf(whole.subarray(0, length), TINY_BASE));
      expect(refusal.code).toBe('invalid_adapter');
    }
  });
});
