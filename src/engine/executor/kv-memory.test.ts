import { describe, expect, it } from 'vitest';
import { KvMemory } from './kv-memory.ts';

// One lane of a plane is 2 heads * 64 positions * 16 values * 4 bytes = 8 KiB: two whole pages.
const SHAPE = { layerCount: 2, kvHeadCount: 2, headSize: 16, vocabularySize: 8, maxContext: 64 };
const FLOAT = { shape: SHAPE, kvScales: null };

describe('KvMemory', () => {
  it('copies the first positions of every head to another lane, also of a larger capacity', () => {
    using small = new KvMemory(FLOAT, 4, 2);
    using large = new KvMemory(FLOAT, 8, 2);
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

  it.each([
    ['float32', null],
    ['int8', []],
  ] as const)('copies a block of %s out, and into a lane of another capacity', (elementType, kvScales) => {
    using small = new KvMemory({ shape: SHAPE, kvScales }, 8, 2);
    using large = new KvMemory({ shape: SHAPE, kvScales }, 16, 1);
    expect(small.elementType).toBe(elementType);
    for (const layer of [0, 1])
      for (const half of [0, 1] as const)
        small.lanes(layer, half, 1, 1).forEach((_, index, lane) => (lane[index] = (layer * 2 + half) * 10 + Math.floor(index / 16)));
    const block = new Uint8Array(small.blockBytes(2));
    small.saveBlock(1, 4, 2, block);
    large.restoreBlock(0, 6, 2, block);
    // Positions are 16 values wide; a head has 8 of them in the small memory and 16 in the large one.
    const at = (layer: number, half: 0 | 1, head: number, position: number): number =>
      large.lanes(layer, half, 0, 1)[(head * 16 + position) * 16] ?? NaN;
    expect([at(0, 0, 0, 6), at(0, 0, 0, 7), at(0, 0, 1, 6), at(1, 1, 1, 7)]).toEqual([4, 5, 12, 43]);
    expect([at(0, 0, 0, 5), at(0, 0, 0, 8)]).toEqual([0, 0]);
  });

  it('gives back the lanes from one on', () => {
    using kv = new KvMemory(FLOAT, 64, 3);
    expect(kv.laneBytes).toBe(4 * 8192);
    for (const half of [0, 1] as const) kv.lanes(1, half, 0, 3).fill(5);
    kv.discardFrom(1);
    expect(kv.lanes(1, 1, 0, 1).every((value) => value === 5)).toBe(true);
    expect(kv.lanes(1, 0, 1, 2).every((value) => value === 0)).toBe(true);
    kv.discardFrom(0);
    expect(kv.lanes(1, 1, 0, 3).every((value) => value === 0)).toBe(true);
  });

  it('gives back one lane and leaves its neighbours alone', () => {
    using kv = new KvMemory(FLOAT, 64, 3);
    for (const half of [0, 1] as const) kv.lanes(0, half, 0, 3).fill(5);
    kv.discardLane(1);
    expect(kv.lanes(0, 0, 0, 1).every((value) => value === 5)).toBe(true);
    expect(kv.lanes(0, 0, 1, 1).every((value) => value === 0)).toBe(true);
    expect(kv.lanes(0, 1, 1, 1).every((value) => value === 0)).toBe(true);
    expect(kv.lanes(0, 0, 2, 1).every((value) => value === 5)).toBe(true);
  });
});
