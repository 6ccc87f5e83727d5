import { describe, expect, it } from 'vitest';
import { quantiseInt4, quantiseInt8 } from './quantise.ts';

const BLOCK_SIZE = 32;

function pseudoRandom(count: number, seed: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  });
}

describe('quantiseInt8', () => {
  it('meets a symmetric Q8_0 block exactly', () => {
    const scale = Math.fround(0.0123);
    const weight = Float32Array.from({ length: BLOCK_SIZE }, (_, index) => Math.fround((index * 8 - 127) * scale));
    const { data, scales, zeros } = quantiseInt8(weight, BLOCK_SIZE);
    const back = Float32Array.from(data, (value) => Math.fround((value - (zeros[0] ?? 0)) * (scales[0] ?? 0)));
    expect([...back]).toEqual([...weight]);
  });

  it('stays within a step of every value, where the grid is shifted to meet zero', () => {
    const weight = pseudoRandom(BLOCK_SIZE * 50, 7);
    const { data, scales, zeros } = quantiseInt8(weight, BLOCK_SIZE);
    weight.forEach((value, index) => {
      const block = Math.floor(index / BLOCK_SIZE);
      const scale = scales[block] ?? 0;
      const back = ((data[index] ?? 0) - (zeros[block] ?? 0)) * scale;
      expect(Math.abs(back - value)).toBeLessThanOrEqual(scale * 1.01);
    });
  });

  it('takes one grid for the values of a block, however many', () => {
    const weight = pseudoRandom(64 * 3, 5);
    const [wide, narrow] = [quantiseInt8(weight, 64), quantiseInt8(weight, BLOCK_SIZE)];
    expect([wide.scales.length, narrow.scales.length]).toEqual([3, 6]);
    wide.scales.forEach((scale, block) =>
      expect(scale).toBeGreaterThanOrEqual(Math.fround(0.99 * Math.max(narrow.scales[2 * block] ?? 0, narrow.scales[2 * block + 1] ?? 0))),
    );
  });

  it('gives a block of zeros a scale of zero', () => {
    const { data, scales, zeros } = quantiseInt8(new Float32Array(BLOCK_SIZE), BLOCK_SIZE);
    expect(scales[0]).toBe(0);
    expect(data.every((value) => value === zeros[0])).toBe(true);
  });
});

describe('quantiseInt4', () => {
  it('keeps scale and minimum of Q4_1 blocks, and puts minimums in [blocks, rows] order', () => {
    const scales = [0.5, 0.25, 2, 1];
    const minimums = [-3, -1, -10, 4];
    const rows = 2;
    const weight = Float32Array.from({ length: BLOCK_SIZE * 4 }, (_, index) => {
      const block = Math.floor(index / BLOCK_SIZE);
      return (index % 16) * (scales[block] ?? 0) + (minimums[block] ?? 0);
    });
    const blocks = quantiseInt4(weight, rows);
    expect([...blocks.scales]).toEqual(scales);
    const exact = minimums.map((minimum, block) => minimum + 8 * (scales[block] ?? 0));
    expect([...blocks.minimums]).toEqual([exact[0], exact[2], exact[1], exact[3]]);
    expect(blocks.data[0]).toBe(0x10);
    expect(blocks.data[7]).toBe(0xfe);
  });
});
