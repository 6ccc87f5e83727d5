import { describe, expect, it } from 'vitest';
import { lossGraph } from './loss-graph.ts';

const SIZE = { columns: 18, rows: 3 };

describe('a loss curve as text', () => {
  it('falls from the upper left to the lower right, between its largest and smallest loss', () => {
    const lines = lossGraph(
      Array.from({ length: 21 }, (_, index) => [index + 1, 2 - index / 20] as const),
      21,
      SIZE,
    );
    expect(lines.map((line) => line.slice(0, 8))).toEqual([' 2.000 │', '       │', ' 1.000 │']);
    expect(lines.map((line) => line.slice(8))).toEqual(['⠑⠢⢄⡀', '   ⠈⠑⢄⡀', '      ⠈⠑⠢⢄']);
  });

  it('leaves room for the steps to come', () => {
    const [first = ''] = lossGraph([[1, 1]], 100, SIZE);
    expect(
      lossGraph(
        [
          [1, 2],
          [50, 1],
        ],
        100,
        SIZE,
      ).every((line) => line.length <= 8 + 5),
    ).toBe(true);
    expect(first.startsWith(' 1.000')).toBe(true);
  });

  it('draws nothing of nothing, and passes over losses that are no numbers', () => {
    expect(lossGraph([], 10, SIZE)).toEqual([]);
    expect(lossGraph([[1, NaN]], 10, SIZE)).toEqual([]);
    expect(
      lossGraph(
        [
          [1, 1],
          [2, NaN],
          [3, 2],
        ],
        3,
        SIZE,
      ),
    ).toHaveLength(3);
  });
});
