import { afterAll, describe, expect, it } from 'vitest';
import { createEnvironment, liveHandleCount } from '../../runtime/index.ts';
import { LineWeights } from './line-weights.ts';

const environment = createEnvironment({ threadCount: 1, allowSpinning: false });

afterAll(() => environment.dispose());

/** Every value of the exponential is within some units in the last place of float32. */
const RELATIVE_TOLERANCE = 1e-6;

describe('LineWeights', () => {
  it.each([0.01, 1, 1 / 0.7, 50])('are exponentials of the distance to the largest logit, times %s', (scale) => {
    const logits = Float32Array.from({ length: 5003 }, (_, id) => ((id * 7919) % 5003) / 250 - 10);
    const largest = Math.max(...logits);
    using weights = new LineWeights(environment, logits.length);
    const errors = Array.from(weights.weigh(logits, largest, scale), (weight, id) => {
      const wanted = Math.exp(((logits[id] as number) - largest) * scale);
      return wanted < 1e-30 ? Math.max(0, weight - 1e-30) : Math.abs(weight / wanted - 1) / (1 + Math.abs(Math.log(wanted)));
    });
    expect(Math.max(...errors)).toBeLessThan(RELATIVE_TOLERANCE);
  });

  it('give the largest 1, tokens that were taken out next to nothing, and what is no number none', () => {
    using weights = new LineWeights(environment, 5);
    const [best, out, lowest, none, same] = weights.weigh(Float32Array.of(3, -Infinity, -3e38, NaN, 3), 3, 1 / Number.EPSILON);
    expect([best, none, same]).toEqual([1, NaN, 1]);
    for (const weight of [out, lowest]) expect(weight).toBeLessThan(2 ** -126);
  });

  it('hold nothing of the line before, and give everything native back', () => {
    const before = liveHandleCount();
    {
      using weights = new LineWeights(environment, 2);
      weights.weigh(Float32Array.of(5, 4), 5, 1).fill(7);
      expect(weights.weigh(Float32Array.of(-80, -80), -80, 2)).toEqual(Float32Array.of(1, 1));
    }
    expect(liveHandleCount()).toBe(before);
  });
});
