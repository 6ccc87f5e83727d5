import { describe, expect, it } from 'vitest';
import { KvMemory } from './kv-memory.ts';

// One lane of a plane is 2 heads * 64 positions * 16 values * 4 bytes = 8 KiB: two whole pages.
const SHAPE = { layerCount: 2, kvHeadCount: 2, headSize: 16, vocabularySize: 8, maxContext: 64 };

describe('KvMemory', () => {
  it('copies the first positions of every head to another lane, also of a larger capacity', () => {
    using small = new KvMemory(SHAPE, 4, 2);
    using large = new KvMemory(SHAPE, 8, 2);
    small.lanes(1, 0, 1, 1).forEach((_, index, lane) => (lane[index] = index + 1));
    small.copyLane(1, large, 0, 3);
    const moved = large.lanes(1, 0, 0, 1);
    const perHead = 8 * SHAPE.headSize;
    const kept = 3 * SHAPE.headSize;
    expect([...moved.subarray(0, kept)]).toEqual(Array.from({ length: kept }, (_, index) => index + 1));
    expect(moved.subarray(kept, perHead).every((value) => value === 0)).toBe(true);
    expect(moved[perHead]).toBe(4 * SHAPE.headSize + 1);
    expect(large.lanes(1, 1, 0, 1).every((value) => value === 0)).toBe(true);
  });

  it('gives back one lane and leaves its neighbours alone', () => {
    using kv = new KvMemory(SHAPE, 64, 3);
    for (const half of [0, 1] as const) kv.lanes(0, half, 0, 3).fill(5);
    kv.discardLane(1);
    expect(kv.lanes(0, 0, 0, 1).every((value) => value === 5)).toBe(true);
    expect(kv.lanes(0, 0, 1, 1).every((value) => value === 0)).toBe(true);
    expect(kv.lanes(0, 1, 1, 1).every((value) => value === 0)).toBe(true);
    expect(kv.lanes(0, 0, 2, 1).every((value) => value === 5)).toBe(true);
  });
});
