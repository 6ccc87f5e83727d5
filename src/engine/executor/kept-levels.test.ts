import { describe, expect, it } from 'vitest';
import { gateUpGroup } from '../../../test/support/gate-up-group.ts';
import { decodePacked, encodePacked, type PackedAdapter } from '../../adapters/packed.ts';
import type { Digest } from '../../core/index.ts';
import { type KeptLevels, keptLevelBytes, type LaneLevels, restoreLevels } from './kept-levels.ts';
import { layoutLanes } from './rank-layout.ts';

const IN = 4;
const GATE_UP = gateUpGroup(IN, { a: 'a', scales: 'scales', ranks: 'ranks', b: ['b0', 'b1'] });

interface Ranks {
  readonly gate: number;
  readonly up: number;
}

function bySite({ gate, up }: Ranks): ReadonlyMap<string, number> {
  return new Map(Object.entries({ 'layers.0.gate': gate, 'layers.0.up': up }).filter(([, rank]) => rank > 0));
}

function adapter(ranks: Ranks): PackedAdapter {
  const contents = [...bySite(ranks)].map(([site, rank]) => ({
    site,
    rank,
    a: new Float32Array(IN * rank),
    b: new Float32Array(rank * 2),
  }));
  return decodePacked(encodePacked('0'.repeat(64) as Digest, contents));
}

/** Levels are 10 * row + column and scales column + 1, of up 50 and 20 more. */
function kept(ranks: Ranks): KeptLevels {
  return new Map(
    [...bySite(ranks)].map(([site, rank]) => {
      const isUp = site.endsWith('up');
      const level = (index: number): number => 10 * Math.floor(index / rank) + (index % rank) + (isUp ? 50 : 0);
      return [
        site,
        {
          levels: Int8Array.from({ length: IN * rank }, (_, index) => level(index)),
          scales: Float32Array.from({ length: rank }, (_, column) => column + 1 + (isUp ? 20 : 0)),
        },
      ];
    }),
  );
}

/** A lane that is laid out for these ranks and holds leftovers of another adapter. */
function lane({ gate, up }: Ranks): LaneLevels {
  const ranks = new Map(Object.entries({ 'layers.0.gate': gate, 'layers.0.up': up }));
  const [layout] = layoutLanes([GATE_UP], ranks, 1, new Set([GATE_UP.id])).groups;
  if (!layout) throw new Error('nothing is laid out');
  return { layout, levels: new Int8Array(IN * layout.rankSum).fill(-1), scales: new Float32Array(layout.rankSum).fill(99) };
}

function restored(own: Ranks, inLane: Ranks): LaneLevels {
  const target = lane(inLane);
  restoreLevels(kept(own), [target]);
  return target;
}

describe('kept levels', () => {
  it.each([
    ['as wide', { gate: 4, up: 8 }, { gate: 4, up: 8 }],
    ['wider', { gate: 4, up: 8 }, { gate: 16, up: 8 }],
    ['wider than ranks that are no multiple of four', { gate: 3, up: 6 }, { gate: 4, up: 8 }],
  ])('come into the columns of their parts in a lane that is %s', (_, own, inLane) => {
    const { levels, scales, layout } = restored(own, inLane);
    const columns = (part: number, rank: number): readonly number[] => Array.from({ length: rank }, (_each, column) => part + column);
    const upColumns = columns(inLane.gate, own.up);
    expect(columns(0, own.gate).map((column) => scales[column])).toEqual(columns(1, own.gate));
    expect(upColumns.map((column) => scales[column])).toEqual(columns(21, own.up));
    for (let row = 0; row < IN; row++) {
      const at = (column: number): number | undefined => levels[row * layout.rankSum + column];
      expect(columns(0, own.gate).map(at)).toEqual(columns(10 * row, own.gate));
      expect(upColumns.map(at)).toEqual(columns(10 * row + 50, own.up));
    }
    const others = [...scales.keys()].filter((column) => column >= own.gate && !upColumns.includes(column));
    expect(others.map((column) => scales[column])).toEqual(others.map(() => 0));
  });

  it('leave a part that the adapter does not change without scales', () => {
    expect([...restored({ gate: 0, up: 8 }, { gate: 4, up: 8 }).scales]).toEqual([0, 0, 0, 0, 21, 22, 23, 24, 25, 26, 27, 28]);
  });

  it('take the bytes that are said', () => {
    const ranks = { gate: 3, up: 8 };
    const bytes = [...kept(ranks).values()].reduce((sum, { levels, scales }) => sum + levels.byteLength + scales.byteLength, 0);
    expect(keptLevelBytes(adapter(ranks))).toBe(bytes);
  });
});
