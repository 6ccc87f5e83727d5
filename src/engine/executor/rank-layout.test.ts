import { describe, expect, it } from 'vitest';
import { decodePacked, encodePacked } from '../../adapters/packed.ts';
import type { Digest } from '../../core/index.ts';
import type { LoraInputGroup } from '../../models/index.ts';
import { covers, layoutLanes, paddedRank, requiredRanks, unite } from './rank-layout.ts';

const QKV: LoraInputGroup = {
  id: 'layers.0.qkv',
  kind: 'linear',
  inFeatures: 4,
  parts: [
    { site: 'layers.0.q', outFeatures: 6 },
    { site: 'layers.0.k', outFeatures: 2 },
  ],
  inputs: { a: 'a', ranks: 'ranks', b: ['bq', 'bk'] },
};

function adapter(ranks: Readonly<Record<string, number>>) {
  const sites = Object.entries(ranks).map(([site, rank]) => ({ site, rank, a: new Float32Array(4 * rank), b: new Float32Array(rank * 6) }));
  return decodePacked(encodePacked('0'.repeat(64) as Digest, sites));
}

describe('paddedRank', () => {
  it('pads to 4, 8 and multiples of 8', () => {
    expect([0, 1, 4, 5, 8, 9, 12, 16, 17, 64, 65].map(paddedRank)).toEqual([0, 4, 4, 8, 8, 16, 16, 16, 24, 64, 72]);
  });
});

describe('requiredRanks', () => {
  it('takes the largest rank of each site over all adapters', () => {
    const ranks = requiredRanks([adapter({ 'layers.0.q': 3 }), adapter({ 'layers.0.q': 10, 'layers.0.k': 1 })]);
    expect(Object.fromEntries(ranks)).toEqual({ 'layers.0.q': 16, 'layers.0.k': 4 });
  });

  it('is covered by any union that contains it', () => {
    const one = new Map([['q', 8]]);
    const other = new Map([
      ['q', 4],
      ['k', 16],
    ]);
    expect(covers(one, other)).toBe(false);
    expect(covers(unite(one, other), one)).toBe(true);
    expect(covers(unite(one, other), other)).toBe(true);
  });
});

describe('layoutLanes', () => {
  it('gives unused parts no room and keeps inputs apart', () => {
    const layout = layoutLanes([QKV], new Map([['layers.0.q', 8]]), 3);
    const [group] = layout.groups;
    expect(group?.partRanks).toEqual([8, 0]);
    expect(group?.rankSum).toBe(8);
    expect(group?.a).toEqual({ group: 0, offset: 0, laneLength: 32 });
    expect(group?.b).toEqual([
      { group: 0, offset: 96, laneLength: 48 },
      { group: 0, offset: 240, laneLength: 0 },
    ]);
    expect(layout.laneLength).toBe(80);
    expect(layout.groupLengths).toEqual([240]);
  });

  it('starts each group at the beginning of memory of its own', () => {
    const { groups, groupLengths } = layoutLanes([QKV, QKV], new Map([['layers.0.q', 8]]), 3);
    expect(groups.map(({ a }) => [a?.group, a?.offset])).toEqual([
      [0, 0],
      [1, 0],
    ]);
    expect(groupLengths).toEqual([240, 240]);
  });
});
