import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { quantiseChannels } from './quantise-channels.ts';

/** What the levels stand for, as [N, K] again. */
function back({ data, scales, zeros }: ReturnType<typeof quantiseChannels>): number[] {
  const width = data.length / scales.length;
  return Array.from({ length: data.length }, (_, position) => {
    const [channel, index] = [Math.floor(position / width), position % width];
    return ((data[index * scales.length + channel] ?? 0) - (zeros[channel] ?? 0)) * (scales[channel] ?? 0);
  });
}

describe('quantiseChannels', () => {
  it('exchanges the axes, and meets levels of a grid exactly', () => {
    const made = quantiseChannels(Float32Array.of(127, -1, 3, 0, -0.5, 63.5, 0, 2), 2, 'paired');
    expect([...made.data]).toEqual([127, -1, -1, 127, 3, 0, 0, 4]);
    expect([...made.scales]).toEqual([1, 0.5]);
  });

  it('reaches from the least value of a channel to its largest with full levels, and keeps 0', () => {
    const made = quantiseChannels(Float32Array.of(-1, 0, 1.55, 0.03, 2, 4, 8, 0), 2, 'full');
    expect([...made.data]).toEqual([-128, -64, -28, -1, 127, 127, -25, -128]);
    expect([...made.zeros]).toEqual([-28, -128]);
    expect(made.scales[0]).toBeCloseTo(0.01, 6);
  });

  it.each(['full', 'paired'] as const)('gives a channel of zeros the scale 0, %s', (kind) => {
    const { data, scales, zeros } = quantiseChannels(new Float32Array(4), 1, kind);
    expect(scales[0]).toBe(0);
    expect(data.every((level) => level === zeros[0])).toBe(true);
  });

  it('keeps every pair of neighbours within what two products with 255 may add up to in 16 bits', () => {
    const weights = fc.array(fc.float({ min: -1, max: 1, noNaN: true }), { minLength: 64, maxLength: 64 });
    fc.assert(
      fc.property(weights, (values) => {
        const { data } = quantiseChannels(Float32Array.from(values), 2, 'paired');
        for (let first = 0; first < data.length; first += 4) {
          for (const [one = 0, other = 0] of [0, 1].map((channel) => [data[first + channel], data[first + 2 + channel]]))
            expect(one * other > 0 ? Math.abs(one + other) : 0).toBeLessThanOrEqual(128);
        }
      }),
      { seed: 5 },
    );
  });

  it.each(['full', 'paired'] as const)('loses little more of a bell-shaped channel than 8 bits over its range lose, %s', (kind) => {
    // Sums of sines of unrelated periods; the largest of 512 values is 2.8 times their root mean square, so large values often meet in a pair.
    const values = Float32Array.from({ length: 512 }, (_, index) =>
      [1.1, 2.7, 3.9, 5.3, 7.1, 8.3].reduce((sum, rate) => sum + Math.sin(rate * index * index), 0),
    );
    const squared = (of: ArrayLike<number>) => Array.from(of).reduce((sum, value) => sum + value * value, 0);
    const largest = Math.max(...values.map(Math.abs));
    const rounding = (512 * (largest / 127) ** 2) / 12;
    const error = squared(back(quantiseChannels(values, 1, kind)).map((value, index) => value - (values[index] ?? 0)));
    expect(error).toBeGreaterThan(rounding / 2);
    expect(error).toBeLessThan(3 * rounding);
  });
});
