import { describe, expect, it } from 'vitest';
import { backoffMs } from './backoff.ts';

describe('the delay before a restart', () => {
  it('doubles with every failure up to its maximum', () => {
    const backoff = { initialMs: 100, maxMs: 1000, healthyMs: 1 };
    expect([1, 2, 3, 4, 5, 6, 5000].map((failures) => backoffMs(backoff, failures))).toEqual([100, 200, 400, 800, 1000, 1000, 1000]);
  });
});
