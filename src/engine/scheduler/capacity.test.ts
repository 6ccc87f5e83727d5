import { describe, expect, it } from 'vitest';
import { bucketFor, capacityBuckets, initialCapacity } from './capacity.ts';

describe('capacity buckets', () => {
  it('grow by four up to the context', () => {
    expect(capacityBuckets(512, 8192)).toEqual([512, 2048, 8192]);
    expect(capacityBuckets(512, 3000)).toEqual([512, 2048, 3000]);
    expect(capacityBuckets(512, 100)).toEqual([100]);
  });

  it('hold what is asked for, the largest at most', () => {
    const buckets = capacityBuckets(512, 3000);
    expect([1, 512, 513, 2048, 2049, 9999].map((positions) => bucketFor(buckets, positions))).toEqual([512, 512, 2048, 2048, 3000, 3000]);
  });

  it('leave a joining row headroom only for tokens that it may produce', () => {
    const buckets = capacityBuckets(512, 3000);
    expect(initialCapacity(buckets, 500, 100)).toBe(2048);
    expect(initialCapacity(buckets, 500, 12)).toBe(512);
    expect(initialCapacity(buckets, 400, 2000)).toBe(512);
  });
});
