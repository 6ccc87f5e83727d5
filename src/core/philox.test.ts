import { describe, expect, it } from 'vitest';
import { philox2x32, uniform } from './philox.ts';

describe('philox', () => {
  // Known answers of the authors' Random123 library (kat_vectors, philox2x32 10).
  it.each([
    [0x00000000, 0x00000000, 0x00000000, 0xff1dae59, 0x6cd10df2],
    [0xffffffff, 0xffffffff, 0xffffffff, 0x2c3f628b, 0xab4fd7ad],
    [0x243f6a88, 0x85a308d3, 0x13198a2e, 0xdd7ce038, 0xf62a4c12],
  ])('gives the published answer for counter %i, %i and key %i', (low, high, key, left, right) => {
    expect(philox2x32(low, high, key)).toEqual([left, right]);
  });

  it('draws uniform numbers in [0, 1) that depend on seed and counter alone', () => {
    const draws = Array.from({ length: 20_000 }, (_, counter) => uniform(42, counter));
    expect(draws.every((draw) => draw >= 0 && draw < 1)).toBe(true);
    const tenths = Array.from({ length: 10 }, (_, tenth) => draws.filter((draw) => Math.floor(draw * 10) === tenth).length);
    // 2000 each, standard deviation 42.
    for (const count of tenths) expect(Math.abs(count - 2000)).toBeLessThan(210);
    expect(uniform(42, 17)).toBe(draws[17]);
    expect(uniform(43, 17)).not.toBe(draws[17]);
  });
});
