import { describe, expect, it } from 'vitest';
import { decodePacked, encodePacked, type PackedAdapter } from '../../adapters/packed.ts';
import type { Digest } from '../../core/index.ts';
import type { LoraInputGroup } from '../../models/index.ts';
import { keepLevels, keptLevelBytes, type LaneLevels, restoreLevels } from './kept-levels.ts';
import { layoutLanes } from './rank-layout.ts';

const IN = 4;
const GATE_UP: LoraInputGroup = {
  id: 'layers.0.gate_up',
  kind: 'linear',
  inFeatures: IN,
  parts: [
    { site: 'layers.0.gate', outFeatures: 2 },
    { site: 'layers.0.up', outFeatures: 2 },
  ],
  inputs: { a: 'a', scales: 'scales', ranks: 'ranks', b: ['b0', 'b1'] },
};

function adapter(ranks: Readonly<Record<string, number>>): PackedAdapter {
  const sites = Object.entries(ranks).map(([site, rank]) => ({
    site,
    rank,
    a: new Float32Array(IN * rank),
    b: new Float32Array(rank * 2),
  }));
  return decodePacked(encodePacked('0'.repeat(64) as Digest, sites));
}

/** A lane laid out for these ranks; levels and scales hold what is asked for by row and column. */
function lane(
  ranks: Readonly<Record<string, number>>,
  level: (row: number, column: number) => number,
  scale: (column: number) => number,
): LaneLevels {
  const [layout] = layoutLanes([GATE_UP], new Map(Object.entries(ranks)), 1, new Set([GATE_UP.id])).groups;
  if (!layout) throw new Error('nothing is laid out');
  const { rankSum } = layout;
  return {
    layout,
    a: new Float32Array(IN * rankSum),
    levels: Int8Array.from({ length: IN * rankSum }, (_, index) => level(Math.floor(index / rankSum), index % rankSum)),
    scales: Float32Array.from({ length: rankSum }, (_, column) => scale(column)),
  };
}

const OWN = { 'layers.0.gate': 4, 'layers.0.up': 8 };
const RANKS = { 'layers.0.gate': 3, 'layers.0.up': 8 };

describe('kept levels', () => {
  it.each([
    ['as wide', OWN],
    ['wider', { 'layers.0.gate': 16, 'layers.0.up': 8 }],
  ])('come back into the columns of their parts in a lane that is %s', (_, laneRanks) => {
    const one = adapter(RANKS);
    const made = lane(
      OWN,
      (row, column) => 10 * row + column,
      (column) => column + 1,
    );
    const target = lane(
      laneRanks,
      () => -1,
      () => 99,
    );
    restoreLevels(keepLevels(one, [made]), one, [target]);
    const up = laneRanks['layers.0.gate'];
    const columns = [0, 1, 2, 3, up, up + 1, up + 7];
    const own = [0, 1, 2, 3, 4, 5, 11];
    expect(columns.map((column) => target.scales[column])).toEqual(own.map((column) => column + 1));
    const { rankSum } = target.layout;
    for (let row = 0; row < IN; row++)
      expect(columns.map((column) => target.levels[row * rankSum + column])).toEqual(own.map((column) => 10 * row + column));
    expect([...target.scales.subarray(4, up)]).toEqual(Array.from({ length: up - 4 }, () => 0));
  });

  it('come back narrower than the lane in which they were made', () => {
    const one = adapter(RANKS);
    const made = lane(
      { 'layers.0.gate': 8, 'layers.0.up': 8 },
      (row, column) => 10 * row + column,
      (column) => column + 1,
    );
    const target = lane(
      OWN,
      () => -1,
      () => 99,
    );
    restoreLevels(keepLevels(one, [made]), one, [target]);
    expect([...target.scales]).toEqual([1, 2, 3, 4, 9, 10, 11, 12, 13, 14, 15, 16]);
    expect([...target.levels.subarray(12, 24)]).toEqual([10, 11, 12, 13, 18, 19, 20, 21, 22, 23, 24, 25]);
  });

  it('take the bytes that are said', () => {
    const one = adapter(RANKS);
    const kept = keepLevels(one, [
      lane(
        OWN,
        () => 1,
        () => 1,
      ),
    ]);
    const bytes = [...kept.values()].reduce((sum, { levels, scales }) => sum + levels.byteLength + scales.byteLength, 0);
    expect(keptLevelBytes(one)).toBe(bytes);
    expect(bytes).toBe((IN + 4) * 12);
  });

  it('leave a part that the adapter does not change without scales', () => {
    const one = adapter({ 'layers.0.up': 8 });
    const target = lane(
      OWN,
      () => -1,
      () => 99,
    );
    restoreLevels(
      keepLevels(one, [
        lane(
          { 'layers.0.up': 8 },
          () => 1,
          () => 2,
        ),
      ]),
      one,
      [target],
    );
    expect([...target.scales]).toEqual([0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 2]);
  });
});
