// Levels of an adapter outside of lanes, so that they are made once: to make them takes as long as a decode call of several rows, to copy them a
// tenth of that.
import type { PackedAdapter } from '../../adapters/packed.ts';
import { type Columns, copyColumns } from './columns.ts';
import type { GroupLayout } from './rank-layout.ts';

/** Memory of one group in one lane, R wide. */
export interface LaneLevels {
  readonly layout: GroupLayout;
  /** [inFeatures, R] */
  readonly levels: Int8Array;
  /** [R] */
  readonly scales: Float32Array;
}

/** Of one site, at the adapter's own rank. */
export interface SiteLevels {
  /** [inFeatures, rank] */
  readonly levels: Int8Array;
  /** [rank] */
  readonly scales: Float32Array;
}

/** By site. */
export type KeptLevels = ReadonlyMap<string, SiteLevels>;

/** What the levels of an adapter take at most. */
export function keptLevelBytes({ header }: PackedAdapter): number {
  if (header.full !== undefined) return 0;
  const inLanes = header.sites.filter(({ site }) => site !== 'embed');
  return inLanes.reduce((sum, { rank, a }) => sum + a.length + rank * Float32Array.BYTES_PER_ELEMENT, 0);
}

export function restoreLevels(kept: KeptLevels, lane: readonly LaneLevels[]): void {
  for (const { layout, levels, scales } of lane) {
    // Columns of no rank keep finite leftovers, which a scale of 0 takes away.
    scales.fill(0);
    for (const [index, { site }] of layout.group.parts.entries()) {
      const own = kept.get(site);
      const first = layout.partColumns[index] ?? 0;
      if (!own) continue;
      scales.set(own.scales, first);
      restoreColumns(own, { values: levels, width: layout.rankSum, first });
    }
  }
}

/** Four at a time where the rank is a multiple of that, as most are. */
const UNIT = Int32Array.BYTES_PER_ELEMENT;

function restoreColumns({ levels, scales: { length: rank } }: SiteLevels, target: Columns<Int8Array>): void {
  const source = { values: levels, width: rank, first: 0 };
  if (rank % UNIT === 0) copyColumns(inUnits(source), inUnits(target), rank / UNIT);
  else copyColumns(source, target, rank);
}

function inUnits({ values: { buffer, byteOffset, byteLength }, width, first }: Columns<Int8Array>): Columns<Int32Array> {
  return { values: new Int32Array(buffer, byteOffset, byteLength / UNIT), width: width / UNIT, first: first / UNIT };
}
