import { describe, expect, it } from 'vitest';
import { weigh } from '../../../test/support/weigh.ts';
import { logSumExp, tokenLogprob } from './logprobs.ts';

describe('log probabilities', () => {
  it('are natural logarithms of the softmax, with the best tokens first', () => {
    const { logprob, top } = tokenLogprob(Float32Array.from([0.1, 0.6, 0.3], Math.log), 0, 2, weigh);
    expect(logprob).toBeCloseTo(Math.log(0.1), 6);
    expect(top.map(([id]) => id)).toEqual([1, 2]);
    expect(top[0]?.[1]).toBeCloseTo(Math.log(0.6), 6);
  });

  it('do not overflow for large logits', () => {
    expect(logSumExp(Float32Array.of(3e38, 3e38), weigh)).toBeCloseTo(3e38, -32);
    expect(tokenLogprob(Float32Array.of(1e4, 1e4 - 1), 1, 0, weigh).logprob).toBeCloseTo(-1 - Math.log(1 + Math.exp(-1)), 6);
  });

  it('report no more alternatives than there are tokens', () => {
    expect(tokenLogprob(Float32Array.of(1, 2), 0, 20, weigh).top).toHaveLength(2);
  });
});
