import { describe, expect, it } from 'vitest';
import { pairedRatio, summarise } from './statistics.ts';

describe('summarise', () => {
  it('takes the middle of an odd count and the mean of both middles of an even one', () => {
    expect(summarise([9, 1, 5])).toEqual({ median: 5, smallest: 1, largest: 9 });
    expect(summarise([4, 1, 2, 10]).median).toBe(3);
  });

  it('refuses nothing at all', () => {
    expect(() => summarise([])).toThrow('nothing to summarise');
  });
});

describe('pairedRatio', () => {
  it('is not moved by a machine that slows down for both sides', () => {
    expect(pairedRatio([200, 100, 20], [100, 50, 10]).median).toBe(2);
  });
});
