// Levels of an adapter outside of lanes, so that they are made once: to make them takes as long as a decode call of several rows, to copy them a
// tenth of that.
import type { PackedAdapter } from '../../adapters/packed.ts';
import { type Columns, copyColumns } from './columns.ts';
import { type GroupLayout, paddedRank, requiredRanks, type SiteRanks } from './rank-layout.ts';

/** Memory of one group in one lane, R wide. */
export interface LaneLevels {
  readonly layout: GroupLayout;
  /** Float32 A [inFeatures, R], which levels are made from. */
  readonly a: Float32Array;
  /** [inFeatures, R] */
  readonly levels: Int8Array;
  /** [R] */
  readonly scales: Float32Array;
}

/** Levels that are copied at once; padded ranks are multiples of it. */
const UNIT = Int32Array.BYTES_PER_ELEMENT;

/** By group, as wide as the adapter's own padded ranks. */
export type KeptLevels = ReadonlyMap<string, { readonly levels: Int32Array; readonly scales: Float32Array }>;

/** What `keepLevels` takes at most. */
export function keptLevelBytes({ header }: PackedAdapter): number {
  if (header.full !== undefined) return 0;
  const inLanes = header.sites.filter(({ site }) => site !== 'embed');
  return inLanes.reduce((sum, { rank, a }) => sum + paddedRank(rank) * (a.length / Math.max(1, rank) + UNIT), 0);
}

export function keepLevels(adapter: PackedAdapter, lane: readonly LaneLevels[]): KeptLevels {
  const ranks = requiredRanks([adapter]);
  return new Map(
    lane.map(({ layout, levels, scales }) => {
      const rankSum = columnsOf(layout, ranks).reduce((sum, { rank }) => sum + rank, 0);
      const kept = { levels: new Int32Array((layout.group.inFeatures * rankSum) / UNIT), scales: new Float32Array(rankSum) };
      for (const { own, inLane, rank } of columnsOf(layout, ranks)) {
        kept.scales.set(scales.subarray(inLane, inLane + rank), own);
        copyColumns(matrix(units(levels), layout.rankSum, inLane), matrix(kept.levels, rankSum, own), rank / UNIT);
      }
      return [layout.group.id, kept];
    }),
  );
}

export function restoreLevels(kept: KeptLevels, adapter: PackedAdapter, lane: readonly LaneLevels[]): void {
  const ranks = requiredRanks([adapter]);
  for (const { layout, levels, scales } of lane) {
    const own = kept.get(layout.group.id);
    if (!own) throw new Error(`no levels were kept for ${layout.group.id}`);
    // Columns of no rank keep finite leftovers, which a scale of 0 takes away.
    scales.fill(0);
    for (const { own: from, inLane, rank } of columnsOf(layout, ranks)) {
      scales.set(own.scales.subarray(from, from + rank), inLane);
      copyColumns(matrix(own.levels, own.scales.length, from), matrix(units(levels), layout.rankSum, inLane), rank / UNIT);
    }
  }
}

/** Where the columns of each part lie, in kept levels and in a lane. */
function columnsOf({ group, partColumns }: GroupLayout, ranks: SiteRanks): readonly { own: number; inLane: number; rank: number }[] {
  let own = 0;
  return group.parts.map(({ site }, index) => {
    const rank = ranks.get(site) ?? 0;
    const columns = { own, inLane: partColumns[index] ?? 0, rank };
    own += rank;
    return columns;
  });
}

function matrix(values: Int32Array, rank: number, column: number): Columns<Int32Array> {
  return { values, width: rank / UNIT, first: column / UNIT };
}

function units({ buffer, byteOffset, byteLength }: Int8Array): Int32Array {
  return new Int32Array(buffer, byteOffset, byteLength / UNIT);
}
