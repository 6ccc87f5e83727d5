import { describe, expect, it } from 'vitest';
import { medianInterval } from './interval.ts';

describe('the interval of a median', () => {
  it('is that of order statistics, by the binomial distribution of how many values lie below', () => {
    // Ranks 40 and 61 of 100 are the usual 95 % interval.
    const values = Array.from({ length: 100 }, (_, index) => ((index * 37) % 100) + 1);
    expect(medianInterval(values)).toEqual({ median: 50.5, low: 40, high: 61 });
  });

  it('is as wide as the values when they are few', () => {
    expect(medianInterval([3, 1, 2])).toEqual({ median: 2, low: 1, high: 3 });
  });

  it('holds the true median of random samples about 95 times of 100', () => {
    let state = 7;
    const random = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
    const hits = Array.from({ length: 1000 }, () => {
      const { low, high } = medianInterval(Array.from({ length: 41 }, () => random() ** 3));
      return low <= 0.125 && high >= 0.125 ? 1 : 0;
    }).reduce((sum: number, hit) => sum + hit, 0);
    expect(hits).toBeGreaterThan(930);
    expect(hits).toBeLessThan(990);
  });
});
