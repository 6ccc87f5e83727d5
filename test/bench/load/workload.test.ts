import { describe, expect, it } from 'vitest';
import { planRequests, readWorkload, type ZipfWorkload } from './workload.ts';

const WORKLOAD: ZipfWorkload = { ...readWorkload<ZipfWorkload>('zipf-64'), durationSeconds: 2000 };

describe('planRequests', () => {
  const planned = planRequests(WORKLOAD);

  it('makes the same plan of the same seed and another of another', () => {
    expect(planRequests(WORKLOAD)).toEqual(planned);
    expect(planRequests({ ...WORKLOAD, seed: 2 })[0]).not.toEqual(planned[0]);
  });

  it('lets requests arrive at the asked rate with exponential gaps', () => {
    const gaps = planned.slice(1).map(({ atMs }, index) => atMs - (planned[index]?.atMs ?? 0));
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
    const deviation = Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length);
    expect(mean).toBeCloseTo(125, -1);
    // An exponential distribution has its mean as its deviation.
    expect(deviation / mean).toBeCloseTo(1, 1);
  });

  it('asks for adapters by a Zipf law: the second half as often as the first, and each at least once', () => {
    const counts = Array.from({ length: WORKLOAD.adapterCount }, (_, adapter) => planned.filter((one) => one.adapter === adapter).length);
    expect((counts[1] ?? 0) / (counts[0] ?? 0)).toBeCloseTo(0.5, 1);
    expect(Math.min(...counts)).toBeGreaterThan(0);
  });
});
