// The packed arrays compute what PEFT's formulas say, evaluated directly in float64 on random small sites.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { refusalOf } from '../../test/support/refusal.ts';
import type { AdapterSite } from '../models/index.ts';
import type { LoraSite } from './lora-site.ts';
import { packSite } from './pack-site.ts';
import type { PackedSiteContent } from './packed.ts';

/** Arrays are float32, and DoRA divides by a norm: a few 1e-7 relative to the largest part of a sum. */
const TOLERANCE = 1e-5;

const SEEDED = { seed: 20_261_123 };

const noTurns = (): undefined => undefined;

interface Case {
  readonly lora: LoraSite;
  /** [out, in]; embedding: [in, out]. */
  readonly weight: Float32Array;
  /** [in] */
  readonly input: Float32Array;
}

/** Multiples of 1/64 in [-2, 2]: exact in float32, with zeros and equal values among them. */
const value = fc.integer({ min: -128, max: 128 }).map((number) => number / 64);

function values(length: number): fc.Arbitrary<Float32Array> {
  return fc.array(value, { minLength: length, maxLength: length }).map((numbers) => Float32Array.from(numbers));
}

function cases(kind: AdapterSite['kind'], extra: 'none' | 'dora' | 'bias'): fc.Arbitrary<Case> {
  return fc
    .tuple(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 9 }))
    .chain(([inFeatures, outFeatures, rank]) =>
      fc.record({
        weight: values(inFeatures * outFeatures),
        input: values(inFeatures),
        lora: fc.record({
          site: fc.constant({ id: 'layers.0.q', module: 'model.layers.0.self_attn.q_proj', kind, inFeatures, outFeatures, layer: 0 }),
          rank: fc.constant(rank),
          scale: fc.double({ min: 0.1, max: 8, noNaN: true }),
          a: values(rank * inFeatures),
          b: values(outFeatures * rank),
          ...(extra === 'dora' && { magnitude: values(outFeatures) }),
          ...(extra === 'bias' && { bias: values(outFeatures) }),
        }),
      }),
    );
}

/** Rows of W + s BA, [out][in]. */
function changedRows({ lora, weight }: Case): number[][] {
  const { site, rank, scale, a, b } = lora;
  return Array.from({ length: site.outFeatures }, (_, out) =>
    Array.from({ length: site.inFeatures }, (_unused, index) => {
      let delta = 0;
      for (let k = 0; k < rank; k += 1) delta += (b[out * rank + k] ?? 0) * (a[k * site.inFeatures + index] ?? 0);
      return (weight[weightIndex(site, out, index)] ?? 0) + scale * delta;
    }),
  );
}

function weightIndex({ kind, inFeatures, outFeatures }: AdapterSite, out: number, index: number): number {
  return kind === 'embedding' ? index * outFeatures + out : out * inFeatures + index;
}

/** PEFT: (m / ||W + s BA||) * (W x + s B A x) + s * bias of lora_B, with parts that are not there left out. */
function peft(one: Case): number[] {
  const { scale, magnitude, bias } = one.lora;
  return changedRows(one).map((row, out) => {
    const gain = magnitude === undefined ? 1 : (magnitude[out] ?? 0) / Math.hypot(...row);
    const product = row.reduce((sum, each, index) => sum + each * (one.input[index] ?? 0), 0);
    return gain * product + scale * (bias?.[out] ?? 0);
  });
}

/** packed.ts: y = gain * (W x) + (x A) B + bias. */
function packed({ lora: { site }, weight, input }: Case, content: PackedSiteContent): number[] {
  return Array.from({ length: site.outFeatures }, (_, out) => {
    let base = 0;
    for (let index = 0; index < site.inFeatures; index += 1) {
      base += (weight[weightIndex(site, out, index)] ?? 0) * (input[index] ?? 0);
    }
    let side = 0;
    for (let k = 0; k < content.rank; k += 1) {
      let inner = 0;
      for (let index = 0; index < site.inFeatures; index += 1) inner += (input[index] ?? 0) * (content.a[index * content.rank + k] ?? 0);
      side += inner * (content.b[k * site.outFeatures + out] ?? 0);
    }
    return (content.gain?.[out] ?? 1) * base + side + (content.bias?.[out] ?? 0);
  });
}

/** Size of the parts that a result sums up, to which rounding errors are relative. */
function magnitudeOf({ lora, weight, input }: Case, content: PackedSiteContent): number {
  const largest = (numbers: Float32Array): number => numbers.reduce((most, number) => Math.max(most, Math.abs(number)), 0);
  const { inFeatures } = lora.site;
  const gain = content.gain === undefined ? 1 : largest(content.gain);
  const side = largest(content.a) * largest(content.b) * content.rank;
  return 1 + inFeatures * largest(input) * (gain * largest(weight) + side) + largest(content.bias ?? new Float32Array());
}

/** Largest difference between PEFT's result and the packed form's, relative to the parts that they sum up. */
async function relativeError(one: Case): Promise<number> {
  const content = await packSite(one.lora, async () => one.weight, noTurns);
  const expected = peft(one);
  const differences = packed(one, content).map((number, out) => Math.abs(number - (expected[out] ?? Number.NaN)));
  return Math.max(...differences) / magnitudeOf(one, content);
}

/** Norms near 0 make the gain explode, in PEFT as here; the formulas are compared where they are well conditioned. */
function hasClearNorms(one: Case): boolean {
  return changedRows(one).every((row) => Math.hypot(...row) > 1 / 16);
}

describe('a packed site computes what PEFT computes', () => {
  it.each([
    ['linear', 'none'],
    ['linear', 'bias'],
    ['head', 'none'],
    ['embedding', 'none'],
  ] as const)('for a %s with extra %s', async (kind, extra) => {
    await fc.assert(
      fc.asyncProperty(cases(kind, extra), async (one) => {
        expect(await relativeError(one)).toBeLessThan(TOLERANCE);
      }),
      SEEDED,
    );
  });

  it.each(['linear', 'head', 'embedding'] as const)('for a %s with DoRA', async (kind) => {
    await fc.assert(
      fc.asyncProperty(cases(kind, 'dora'), async (one) => {
        fc.pre(hasClearNorms(one));
        expect(await relativeError(one)).toBeLessThan(TOLERANCE);
      }),
      SEEDED,
    );
  });
});

describe('a site is refused', () => {
  const site: AdapterSite = {
    id: 'layers.0.q',
    module: 'model.layers.0.self_attn.q_proj',
    kind: 'linear',
    inFeatures: 1,
    outFeatures: 1,
    layer: 0,
  };

  it('when its scale takes a value out of float32', async () => {
    const lora: LoraSite = { site, rank: 1, scale: 1e30, a: Float32Array.of(1), b: Float32Array.of(1e30) };
    const refusal = await refusalOf(async () => await packSite(lora, async () => Float32Array.of(1), noTurns));
    expect(refusal.code).toBe('invalid_adapter');
    expect(refusal.message).toContain('too large for float32');
  });

  it('when a DoRA norm is 0', async () => {
    const lora: LoraSite = { site, rank: 1, scale: 1, a: Float32Array.of(1), b: Float32Array.of(0), magnitude: Float32Array.of(1) };
    const refusal = await refusalOf(async () => await packSite(lora, async () => Float32Array.of(0), noTurns));
    expect(refusal.code).toBe('invalid_adapter');
    expect(refusal.message).toContain('output 0 of model.layers.0.self_attn.q_proj');
  });
});
