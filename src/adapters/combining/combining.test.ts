import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fixtureAdapter } from '../../../test/support/adapter-files.ts';
import { fingerprint, type Fingerprint } from '../../../test/support/fingerprint.ts';
import { fixturePath } from '../../../test/support/repository.ts';
import { TINY_BASE, tinyWeights } from '../../../test/support/tiny-base.ts';
import { MERGED_FP32 } from '../../../test/support/tolerances.ts';
import { systemClock, type Digest } from '../../core/index.ts';
import { packAdapter } from '../pack-adapter.ts';
import { decodePacked, encodePacked, mergedTensors, packedArray, type PackedAdapter, type PackedSiteContent } from '../packed.ts';
import { keepMask } from './keep-mask.ts';
import { mergeFactors, type Factor } from './merge-factors.ts';
import { mergeLora, type LoraPart } from './merge-lora.ts';
import type { FactorStrategy } from './mix.ts';
import { sumOfDeltas } from './sum-of-deltas.ts';

const IN = 5;
const OUT = 4;
const sites = [
  { id: 'q', module: 'q_proj', kind: 'linear' },
  { id: 'embed', module: 'embed_tokens', kind: 'embedding' },
] as const;

const floats = (length: number) =>
  fc
    .array(fc.integer({ min: -64, max: 64 }), { minLength: length, maxLength: length })
    .map((values) => Float32Array.from(values, (value) => value / 32));

const siteContent = (site: 'q' | 'embed') =>
  fc.integer({ min: site === 'q' ? 0 : 1, max: 3 }).chain((rank) =>
    fc.record(
      {
        site: fc.constant(site),
        rank: fc.constant(rank),
        a: floats(IN * rank),
        b: floats(rank * OUT),
        gain: floats(OUT),
        bias: floats(OUT),
      },
      { requiredKeys: ['site', 'rank', 'a', 'b'] },
    ),
  );

const pack = (contents: readonly PackedSiteContent[]): PackedAdapter => decodePacked(encodePacked('0'.repeat(64) as Digest, contents));

const packed = fc
  .tuple(fc.option(siteContent('q'), { nil: undefined }), fc.option(siteContent('embed'), { nil: undefined }))
  .map((contents) => pack(contents.flatMap((content) => (content === undefined ? [] : [plain(content)]))));

/** fast-check writes absent keys as undefined. */
function plain({ gain, bias, ...rest }: PackedSiteContent): PackedSiteContent {
  return { ...rest, ...(gain && rest.rank > 0 && { gain }), ...(bias && { bias }) };
}

const weight = fc.integer({ min: -20, max: 20 }).map((value) => value / 8);
const parts = fc.array(fc.record({ adapter: packed, weight, label: fc.constant('x@1') }), { minLength: 1, maxLength: 4 });

/** Every tensor that an adapter can change here, merged into a fixed base. */
function effect(adapter: PackedAdapter): Record<string, Float32Array> {
  const merges = mergedTensors(adapter, sites);
  return Object.fromEntries(
    ['q_proj.weight', 'q_proj.bias', 'embed_tokens.weight', 'embed_tokens.bias'].map((name) => {
      const base = name.endsWith('bias') ? new Float32Array(OUT) : Float32Array.from({ length: IN * OUT }, (_, index) => Math.cos(index));
      return [name, merges.get(name)?.(base) ?? base];
    }),
  );
}

function expectSame(found: Record<string, Float32Array>, expected: Record<string, Float32Array>): void {
  for (const [name, values] of Object.entries(expected)) {
    const error = values.reduce((most, value, index) => Math.max(most, Math.abs(value - (found[name]?.[index] ?? Number.NaN))), 0);
    expect({ name, error: error < 1e-4 }).toEqual({ name, error: true });
  }
}

const sum = (mix: readonly { readonly adapter: PackedAdapter; readonly weight: number; readonly label: string }[]): PackedAdapter =>
  pack(sumOfDeltas(mix, 64));

describe('the sum of deltas', () => {
  it('is W plus the weighted sum of what each part adds, for weights, gains and biases', () => {
    expect.hasAssertions();
    fc.assert(
      fc.property(parts, (mix) => {
        const base = effect(pack([]));
        const each = mix.map(({ adapter, weight: factor }) => ({ merged: effect(adapter), factor }));
        const expected = Object.entries(base).map(([name, values]) => {
          const total = values.map((value, index) =>
            each.reduce((all, { merged, factor }) => all + factor * ((merged[name]?.[index] ?? 0) - value), value),
          );
          return [name, total];
        });
        expectSame(effect(sum(mix)), Object.fromEntries(expected) as Record<string, Float32Array>);
      }),
    );
  });

  it('is the adapter at weight 1 alone, and nothing at weight 0', () => {
    expect.hasAssertions();
    fc.assert(
      fc.property(packed, (adapter) => {
        expectSame(effect(sum([{ adapter, weight: 1, label: 'x@1' }])), effect(adapter));
        expectSame(effect(sum([{ adapter, weight: 0, label: 'x@1' }])), effect(pack([])));
      }),
    );
  });

  it('does not depend on the order, and adds the weights of equal parts', () => {
    expect.hasAssertions();
    fc.assert(
      fc.property(parts, weight, (mix, other) => {
        expectSame(effect(sum(mix.toReversed())), effect(sum(mix)));
        const [first] = mix;
        if (first === undefined) return;
        const twice = [first, { ...first, weight: other }];
        expectSame(effect(sum(twice)), effect(sum([{ ...first, weight: first.weight + other }])));
      }),
    );
  });

  it('refuses ranks that add up to too much, naming all of them', () => {
    const site = { site: 'layers.0.q', rank: 3, a: new Float32Array(15), b: new Float32Array(12) };
    const adapter = pack([site]);
    const mix = ['a@1', 'b@2', 'c@3'].map((label) => ({ adapter, weight: 1, label }));
    expect(() => sumOfDeltas(mix, 8)).toThrow(
      'the mix has rank 9 at layers.0.q (a@1 3, b@2 3, c@3 3), this server allows at most 8 (adapterMaxRank)',
    );
    expect(sumOfDeltas(mix, 9)[0]?.rank).toBe(9);
  });

  it('refuses an adapter that replaces whole tensors', () => {
    const full = decodePacked(encodePacked('0'.repeat(64) as Digest, [], [{ tensor: 'model.norm.weight', values: new Float32Array(2) }]));
    expect(() => sumOfDeltas([{ adapter: full, weight: 0.5, label: 'norms@1' }], 8)).toThrow('norms@1 replaces whole tensors');
  });
});

describe('merging factors', () => {
  const factor = (values: readonly number[], by: number, kept: readonly number[] = []): Factor => ({
    values: Float32Array.from(values),
    weight: by,
    keep: () => Uint8Array.from(kept),
  });
  const merged = (factors: readonly Factor[], strategy: FactorStrategy, rescale = false) => [...mergeFactors(factors, strategy, rescale)];

  it('adds by weight', () => {
    expect(merged([factor([1, 2], 2), factor([10, -10], 0.5)], { strategy: 'linear' })).toEqual([7, -1]);
  });

  it('trims, elects before weighting, and takes the mean of those that agree', () => {
    const factors = [factor([4, 1, -3, 2], 1), factor([-1, 5, -2, -6], 3)];
    // Kept at density 0.5: 4, -3 and 5, -6.
    expect(merged(factors, { strategy: 'ties', density: 0.5, majoritySign: 'total' })).toEqual([4, 15, -3, -18]);
    // 4 against -1 and 2 against -6: by frequency both are even, so the sign is positive.
    expect(merged(factors, { strategy: 'ties', density: 1, majoritySign: 'frequency' })).toEqual([4, 8, -4.5, 2]);
    expect(merged(factors, { strategy: 'ties', density: 1, majoritySign: 'total' })).toEqual([4, 8, -4.5, -18]);
  });

  it('drops what the mask says, and divides by the density only where asked', () => {
    const factors = [factor([4, 8], 1, [1, 0]), factor([2, 2], 1, [1, 1])];
    expect(merged(factors, { strategy: 'dare_linear', density: 0.5 })).toEqual([6, 2]);
    expect(merged(factors, { strategy: 'dare_linear', density: 0.5 }, true)).toEqual([12, 4]);
    expect(merged(factors, { strategy: 'dare_linear', density: 1 }, true)).toEqual([6, 10]);
  });

  it('draws masks that depend on the seed alone and keep the share that was asked for', () => {
    const length = 20_000;
    for (const density of [0.1, 0.5, 0.9]) {
      const mask = keepMask('a', length, density);
      const share = mask.reduce((total, bit) => total + bit, 0) / length;
      // Five standard errors.
      expect(Math.abs(share - density)).toBeLessThan(5 * Math.sqrt((density * (1 - density)) / length));
      expect(keepMask('a', length, density)).toEqual(mask);
      expect(keepMask('b', length, density)).not.toEqual(mask);
    }
    expect([...keepMask('a', 8, 1)]).toEqual([1, 1, 1, 1, 1, 1, 1, 1]);
    expect([...keepMask('a', 8, 0)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
  });
});

interface PeftCase {
  readonly options: {
    readonly adapters: readonly string[];
    readonly weights: readonly number[];
    readonly combination_type: 'linear' | 'ties' | 'dare_linear' | 'dare_ties' | 'cat' | 'svd';
    readonly density?: number;
    readonly majority_sign_method?: 'total' | 'frequency';
  };
  readonly modules: Readonly<Record<string, { readonly a?: Fingerprint; readonly b?: Fingerprint; readonly delta?: Fingerprint }>>;
}

const peft = JSON.parse(readFileSync(fixturePath('tiny-mixes/factors.json'), 'utf8')) as Readonly<Record<string, PeftCase>>;
const byFactors = Object.entries(peft).filter(([, { options }]) => !['cat', 'svd'].includes(options.combination_type));

function expectClose(found: Fingerprint, expected: Fingerprint | undefined): void {
  const [norm, product] = expected ?? [Number.NaN, Number.NaN];
  expect(Math.abs(found[0] - norm) + Math.abs(found[1] - product)).toBeLessThan(MERGED_FP32 * norm);
}

function partsOf({ adapters, weights }: PeftCase['options']): readonly LoraPart[] {
  return adapters.map((name, index) => ({ label: name, weight: weights[index] ?? 0, files: fixtureAdapter(`tiny-adapters/${name}`) }));
}

describe("PEFT's add_weighted_adapter", () => {
  it.each(byFactors)('is what our merge of factors makes: %s', (_name, { options, modules }) => {
    const { combination_type: strategy, density = 1, majority_sign_method: majoritySign = 'total' } = options;
    const found = mergeLora(partsOf(options), { strategy, density, majoritySign } as FactorStrategy, 'peft', TINY_BASE);
    expect(found.map(({ site }) => site.module).toSorted()).toEqual(Object.keys(modules).toSorted());
    for (const { site, scale, a, b } of found) {
      expect(scale).toBe(1);
      expectClose(fingerprint(a), modules[site.module]?.a);
      expectClose(fingerprint(b), modules[site.module]?.b);
    }
  });

  it('with "cat" is what our sum of deltas makes', async () => {
    const { options, modules } = peft['cat'] as PeftCase;
    const weighted = await Promise.all(
      partsOf(options).map(async ({ files, ...part }) => {
        const { bytes } = await packAdapter(files, { base: TINY_BASE, weights: tinyWeights(), maxRank: 64, clock: systemClock });
        return { ...part, adapter: decodePacked(bytes) };
      }),
    );
    const mixed = pack(sumOfDeltas(weighted, 64));
    for (const packedSite of mixed.header.sites) {
      const site = TINY_BASE.sites.find(({ id }) => id === packedSite.site);
      const zero = new Float32Array((site?.inFeatures ?? 0) * (site?.outFeatures ?? 0));
      const delta = mergedTensors(mixed, TINY_BASE.sites).get(`${site?.module}.weight`)?.(zero) ?? zero;
      expectClose(fingerprint(delta), modules[site?.module ?? '']?.delta);
    }
    expect(mixed.header.sites).toHaveLength(Object.keys(modules).length);
    expect(packedArray(mixed, mixed.header.sites[0]?.a ?? { offset: 0, length: 0 }).length).toBeGreaterThan(0);
  });

  it.each([
    ['dora-qv', 'dora-qv has the magnitudes of DoRA: only plain LoRA'],
    ['lora-bias-linears', 'has biases of lora_B'],
    ['token-rows', "of the base's own"],
    ['linears-r4-patterns', 'the adapters have different ranks at model.layers.0.self_attn.q_proj (qv-r8 8, linears-r4-patterns 4)'],
  ])('and LoRAX drop or fail what we refuse by name: %s', (name, words) => {
    const mix = partsOf({ adapters: ['qv-r8', name], weights: [1, 1], combination_type: 'linear' });
    for (const convention of ['lorax', 'peft'] as const) {
      expect(() => mergeLora(mix, { strategy: 'linear' }, convention, TINY_BASE)).toThrow(words);
    }
  });
});
