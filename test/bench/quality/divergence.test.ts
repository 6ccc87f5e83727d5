import { describe, expect, it } from 'vitest';
import { compareLogits } from './divergence.ts';

describe('compareLogits', () => {
  it('is zero for equal distributions, whatever constant is added to the logits', () => {
    const { kl, sameTop } = compareLogits(Float32Array.of(1, 2, 3), Float32Array.of(5, 6, 7));
    expect(kl).toBeCloseTo(0, 12);
    expect(sameTop).toBe(true);
  });

  it('equals the sum over p (log p - log q)', () => {
    const p = Float32Array.from([0.7, 0.2, 0.1], Math.log);
    const q = Float32Array.from([0.1, 0.3, 0.6], Math.log);
    const expected = 0.7 * Math.log(0.7 / 0.1) + 0.2 * Math.log(0.2 / 0.3) + 0.1 * Math.log(0.1 / 0.6);
    const { kl, sameTop } = compareLogits(p, q);
    expect(kl).toBeCloseTo(expected, 5);
    expect(sameTop).toBe(false);
  });
});
