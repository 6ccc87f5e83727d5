// Against torch and transformers: test/fixtures/optimizer/make.py.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Hyperparameters } from '../../hyperparameters.ts';
import { adamwStep } from './adamw.ts';
import { clipFactor, globalNorm } from './clip.ts';
import { baseLearningRate, scheduleFactor } from './learning-rate.ts';

interface Run {
  readonly norms: readonly number[];
  readonly rates: readonly number[];
  readonly values: readonly number[][];
  readonly moment1: readonly number[][];
  readonly moment2: readonly number[][];
}

interface Expected {
  readonly plain: Run;
  readonly decayed_clipped: Run;
  readonly schedules: readonly {
    readonly scheduler: Hyperparameters['scheduler'];
    readonly total: number;
    readonly ratio: number;
    readonly rates: readonly number[];
  }[];
}

const path = new URL('../../../../test/fixtures/optimizer/expected.json', import.meta.url);
const expected = JSON.parse(readFileSync(path, 'utf8')) as Expected;
const COUNTS = [15, 7, 4];
const STEPS = 6;
/** Relative: torch rounds to float32 after every operation, we when a value is stored. */
const FLOAT32_STEPS = 2e-6;

/** As `numbers` of make.py. */
function numbers(count: number, seed: number): Float32Array {
  return Float32Array.from({ length: count }, (_, k) => (((k * 7919 + seed * 104_729) % 2003) - 1001) / 997);
}

interface Setting {
  readonly weightDecay: number;
  readonly maxNorm: number;
  readonly ratios: readonly number[];
  readonly factor: (step: number) => number;
}

function run({ weightDecay, maxNorm, ratios, factor }: Setting): Run {
  const parameters = COUNTS.map((count, index) => ({
    values: numbers(count, index),
    gradient: new Float32Array(count),
    moment1: new Float32Array(count),
    moment2: new Float32Array(count),
  }));
  const norms: number[] = [];
  const rates: number[] = [];
  for (let step = 1; step <= STEPS; step += 1) {
    for (const [index, { gradient }] of parameters.entries()) {
      gradient.set(numbers(gradient.length, 10 * step + index).map((value) => value * 10 ** (1 - step)));
    }
    const norm = globalNorm(parameters.map(({ gradient }) => gradient));
    if (maxNorm > 0) norms.push(norm);
    const learningRate = 0.01 * factor(step);
    rates.push(learningRate);
    for (const [index, parameter] of parameters.entries()) {
      const rate = learningRate * (ratios[index] ?? 1);
      adamwStep(parameter, { step, learningRate: rate, weightDecay, gradientScale: clipFactor(norm, maxNorm) });
    }
  }
  const pick = (key: 'values' | 'moment1' | 'moment2'): number[][] => parameters.map((parameter) => [...parameter[key]]);
  return { norms, rates, values: pick('values'), moment1: pick('moment1'), moment2: pick('moment2') };
}

/** Largest difference relative to what is wanted; NaN where there is nothing to compare. */
function largestError(actual: readonly number[], wanted: readonly number[]): number {
  if (actual.length !== wanted.length) return Number.NaN;
  const errors = wanted.map((value, index) => Math.abs((actual[index] ?? Number.NaN) - value) / Math.max(Math.abs(value), 1e-6));
  return Math.max(0, ...errors);
}

describe.each<[string, Run, Setting]>([
  ['plain', expected.plain, { weightDecay: 0, maxNorm: 0, ratios: [1, 1, 1], factor: () => 1 }],
  [
    'with decay, clipping, a schedule and two rates',
    expected.decayed_clipped,
    {
      weightDecay: 0.1,
      maxNorm: 0.5,
      ratios: [1, 16, 16],
      factor: (step) => scheduleFactor({ scheduler: 'linear', warmupRatio: 0.25, totalSteps: STEPS }, step),
    },
  ],
])('AdamW %s', (_, wanted, setting) => {
  const actual = run(setting);

  it("moves values and moments as torch's does", () => {
    expect(largestError(actual.norms, wanted.norms)).toBeLessThan(FLOAT32_STEPS);
    expect(largestError(actual.rates, wanted.rates)).toBeLessThan(FLOAT32_STEPS);
    for (const key of ['values', 'moment1', 'moment2'] as const)
      expect(largestError(actual[key].flat(), wanted[key].flat())).toBeLessThan(FLOAT32_STEPS);
  });
});

describe('clipping', () => {
  it('leaves a small gradient alone, and every gradient when it is off', () => {
    expect(clipFactor(0.5, 1)).toBe(1);
    expect(clipFactor(1e9, 0)).toBe(1);
    expect(clipFactor(4, 1)).toBeCloseTo(0.25, 6);
  });

  it('takes the norm over all tensors of any length', () => {
    expect(globalNorm([Float32Array.of(1, 2, 3, 4, 5), Float32Array.of(3)])).toBe(8);
  });
});

describe('schedules', () => {
  it.each(expected.schedules)("give the rates of transformers' $scheduler with warm-up $ratio over $total steps", (schedule) => {
    const { scheduler, ratio, total, rates } = schedule;
    const setting = { scheduler, warmupRatio: ratio, totalSteps: total };
    const actual = rates.map((__, index) => scheduleFactor(setting, index + 1));
    expect(largestError(actual, rates)).toBeLessThan(FLOAT32_STEPS);
  });
});

describe('LoRA+', () => {
  it('lets B and magnitudes learn faster, and an embedding at its own rate', () => {
    const rate = (site: string, part: 'A' | 'B' | 'magnitude', ratio = 16): number => baseLearningRate({ site, part }, 0.5, ratio);
    expect([rate('layers.0.q', 'A'), rate('layers.0.q', 'B'), rate('layers.0.q', 'magnitude')]).toEqual([0.5, 8, 8]);
    expect([rate('embed', 'A'), rate('embed', 'B'), rate('embed', 'magnitude')]).toEqual([1e-6, 1e-6, 8]);
    expect([rate('embed', 'A', 1), rate('layers.0.q', 'B', 1)]).toEqual([0.5, 0.5]);
  });
});
