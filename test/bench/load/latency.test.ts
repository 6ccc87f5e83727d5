import { describe, expect, it } from 'vitest';
import { latencyOf } from './latency.ts';
import { firstTokenMs, tokenGapsMs } from './timed-stream.ts';

describe('latencyOf', () => {
  it('takes measured values at the nearest rank', () => {
    const values = Array.from({ length: 200 }, (_, index) => 200 - index);
    expect(latencyOf(values)).toEqual({ p50: 100, p99: 198, max: 200, mean: 100.5 });
    expect(latencyOf([7])).toEqual({ p50: 7, p99: 7, max: 7, mean: 7 });
  });

  it('refuses nothing at all', () => {
    expect(() => latencyOf([])).toThrow('no times');
  });
});

describe('the times of a stream', () => {
  const times = { sentAtMs: 100, tokenAtMs: [150, 160, 175, 300] };

  it('are from the request to its first token, then from token to token', () => {
    expect(firstTokenMs(times)).toBe(50);
    expect(tokenGapsMs(times)).toEqual([10, 15, 125]);
  });

  it('can be those of a span only', () => {
    expect(tokenGapsMs(times, 160, 300)).toEqual([10, 15]);
  });
});
