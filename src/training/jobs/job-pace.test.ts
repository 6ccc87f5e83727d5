import { describe, expect, it } from 'vitest';
import { JobPace } from './job-pace.ts';

describe('the estimated finish of a job', () => {
  const clock = { nowMs: 0, now: () => 1_000_000 + clock.nowMs, monotonic: () => clock.nowMs };
  const pace = new JobPace(clock);
  const stepAt = (timeMs: number): void => {
    clock.nowMs = timeMs;
    pace.stepDone();
  };

  it('is unknown before two steps and without a number of steps, then follows the mean of the latest', () => {
    expect(pace.finishMs({ step: 0, totalSteps: 10 })).toBeNull();
    stepAt(1000);
    expect(pace.finishMs({ step: 1, totalSteps: 10 })).toBeNull();
    stepAt(3000);
    expect(pace.finishMs({ step: 2, totalSteps: null })).toBeNull();
    expect(pace.finishMs({ step: 2, totalSteps: 10 })).toBe(1_003_000 + 8 * 2000);
    clock.nowMs = 4000;
    expect(pace.finishMs({ step: 2, totalSteps: 10 }), 'time passes, the end stays').toBe(1_003_000 + 8 * 2000);
  });

  it('forgets slow steps that are long past, and everything with a new job', () => {
    for (let step = 0; step < 30; step += 1) stepAt(10_000 + step * 100);
    expect(pace.finishMs({ step: 30, totalSteps: 40 })).toBe(clock.now() + 1000);
    pace.reset();
    expect(pace.finishMs({ step: 0, totalSteps: 40 })).toBeNull();
  });
});
