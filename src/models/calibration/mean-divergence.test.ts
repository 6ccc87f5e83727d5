import { describe, expect, it } from 'vitest';
import { meanDivergence } from './mean-divergence.ts';

describe('meanDivergence', () => {
  it('equals the mean over lines of the sum of p (log p - log q), whatever constant is added to a line of logits', () => {
    const [p, q] = [
      [0.7, 0.2, 0.1],
      [0.1, 0.3, 0.6],
    ];
    const expected = p.reduce((sum, value, index) => sum + value * Math.log(value / (q[index] ?? 0)), 0);
    const same = [3, 2, 1];
    const left = Float32Array.from([...p.map(Math.log), ...same]);
    const right = Float32Array.from([...q.map((value) => Math.log(value) + 5), ...same]);
    expect(meanDivergence(left, right, 3)).toBeCloseTo(expected / 2, 5);
    expect(meanDivergence(left, left, 3)).toBeCloseTo(0, 12);
  });
});
