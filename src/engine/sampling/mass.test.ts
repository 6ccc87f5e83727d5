import { describe, expect, it } from 'vitest';
import { keepBestMass, keepOnly, settledTotal } from './mass.ts';

/** The smallest float32 above 0: what an exponential of -Infinity may be rounded to. */
const NEXT_TO_NOTHING = 2 ** -149;

describe('the total of fresh weights', () => {
  it('sums up any number of them', () => {
    for (const length of [0, 1, 3, 4, 9]) expect(settledTotal(new Float32Array(length).fill(0.5), false)).toBe(length / 2);
  });

  it('takes out for good what a mask had taken out, however it was rounded', () => {
    const weights = Float32Array.of(1, NEXT_TO_NOTHING, 0.25, 0);
    expect(settledTotal(weights, true)).toBe(1.25);
    expect([...weights]).toEqual([1, 0, 0.25, 0]);
  });

  it('counts what is no number as 0', () => {
    const weights = Float32Array.of(NaN, 1, 0.5);
    expect(settledTotal(weights, false)).toBe(1.5);
    expect([...weights]).toEqual([0, 1, 0.5]);
  });
});

describe('keeping part of a distribution', () => {
  it('answers the ids that are left in ascending order, and zeroes the others', () => {
    const weights = Float32Array.of(4, 1, 2, 3);
    expect([...keepOnly(weights, Uint32Array.of(3, 0))]).toEqual([0, 3]);
    expect([...weights]).toEqual([4, 0, 0, 3]);
  });

  it('keeps the fewest that weigh enough, and says so when all are needed', () => {
    const scores = Float32Array.of(0, 3, 2, 1);
    const weights = (): Float32Array => Float32Array.of(1, 4, 3, 2);
    expect([...(keepBestMass(scores, weights(), 7) ?? [])]).toEqual([1, 2]);
    expect([...(keepBestMass(scores, weights(), 0) ?? [])]).toEqual([1]);
    expect(keepBestMass(scores, weights(), 11)).toBeNull();
  });
});
