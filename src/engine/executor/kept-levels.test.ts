import { describe, expect, it } from 'vitest';
import { gateUpGroup } from '../../../test/support/gate-up-group.ts';
import { decodePacked, encodePacked, type PackedAdapter } from '../../adapters/packed.ts';
import type { Digest } from '../../core/index.ts';
import { keepLevels, keptLevelBytes, type LaneLevels, restoreLevels } from './kept-levels.ts';
import { layoutLanes } from './rank-layout.ts';

const IN = 4;
const GATE_UP = gateUpGroup(IN, { a: 'a', scales: 'scales', ranks: 'ranks', b: ['b0', 'b1'] });

interface Ranks {
  readonly gate: number;
  readonly up: number;
}

function adapter({ gate, up }: Ranks): PackedAdapter {
  const sites = Object.entries({ 'layers.0.gate': gate, 'layers.0.up': up }).filter(([, rank]) => rank > 0);
  const contents = sites.map(([site, rank]) => ({ site, rank, a: new Float32Array(IN * rank), b: new Float32Array(rank * 2) }));
  return decodePacked(encodePacked('0'.repeat(64) as Digest, contents));
}

/** A lane laid out for these ranks: its levels are 10 * row + column and its scales column + 1, or leftovers. */
function lane({ gate, up }: Ranks, holds: 'numbers' | 'leftovers'): LaneLevels {
  const ranks = new Map(Object.entries({ 'layers.0.gate': gate, 'layers.0.up': up }));
  const [layout] = layoutLanes([GATE_UP], ranks, 1, new Set([GATE_UP.id])).groups;
  if (!layout) throw new Error('nothing is laid out');
  const { rankSum } = layout;
  const level = (index: number): number => 10 * Math.floor(index / rankSum) + (index % rankSum);
  return {
    layout,
    a: new Float32Array(IN * rankSum),
    levels: Int8Array.from({ length: IN * rankSum }, (_, index) => (holds === 'numbers' ? level(index) : -1)),
    scales: Float32Array.from({ length: rankSum }, (_, column) => (holds === 'numbers' ? column + 1 : 99)),
  };
}

const RANKS = { gate: 3, up: 8 };
/** As they are padded. */
const OWN = { gate: 4, up: 8 };

function broughtBack(from: Ranks, to: Ranks, one = adapter(RANKS)): LaneLevels {
  const target = lane(to, 'leftovers');
  restoreLevels(keepLevels(one, [lane(from, 'numbers')]), one, [target]);
  return target;
}

describe('kept levels', () => {
  it.each([
    ['as wide', OWN],
    ['wider', { gate: 16, up: 8 }],
  ])('come back into the columns of their parts in a lane that is %s', (_, laneRanks) => {
    const { levels, scales, layout } = broughtBack(OWN, laneRanks);
    const up = laneRanks.gate;
    const columns = [0, 1, 2, 3, up, up + 1, up + 7];
    const own = [0, 1, 2, 3, 4, 5, 11];
    expect(columns.map((column) => scales[column])).toEqual(own.map((column) => column + 1));
    for (let row = 0; row < IN; row++)
      expect(columns.map((column) => levels[row * layout.rankSum + column])).toEqual(own.map((column) => 10 * row + column));
    expect([...scales.subarray(4, up)]).toEqual(Array.from({ length: up - 4 }, () => 0));
  });

  it('come back narrower than the lane in which they were made', () => {
    const { levels, scales } = broughtBack({ gate: 8, up: 8 }, OWN);
    expect([...scales]).toEqual([1, 2, 3, 4, 9, 10, 11, 12, 13, 14, 15, 16]);
    expect([...levels.subarray(12, 24)]).toEqual([10, 11, 12, 13, 18, 19, 20, 21, 22, 23, 24, 25]);
  });

  it('take the bytes that are said', () => {
    const one = adapter(RANKS);
    const kept = keepLevels(one, [lane(OWN, 'numbers')]);
    const bytes = [...kept.values()].reduce((sum, { levels, scales }) => sum + levels.byteLength + scales.byteLength, 0);
    expect(keptLevelBytes(one)).toBe(bytes);
    expect(bytes).toBe((IN + 4) * 12);
  });

  it('leave a part that the adapter does not change without scales', () => {
    const { scales } = broughtBack({ gate: 0, up: 8 }, OWN, adapter({ gate: 0, up: 8 }));
    expect([...scales]).toEqual([0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
  });
});
