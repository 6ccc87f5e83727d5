// Ranks to which the adapter inputs of a row group are padded. Pure: sites in, ranks and offsets out.
import type { PackedAdapter } from '../../adapters/packed.ts';
import type { LoraInputGroup } from '../../models/index.ts';

const SMALL_RANK = 4;
const RANK_STEP = 8;

/** Ranks are padded to 4, 8 and then multiples of 8: few different layouts, and whole vector registers. */
export function paddedRank(rank: number): number {
  if (rank === 0) return 0;
  return rank <= SMALL_RANK ? SMALL_RANK : Math.ceil(rank / RANK_STEP) * RANK_STEP;
}

export type SiteRanks = ReadonlyMap<string, number>;

/** Largest padded rank of each site over some adapters; sites that none of them changes are absent. */
export function requiredRanks(adapters: Iterable<PackedAdapter>): SiteRanks {
  const ranks = new Map<string, number>();
  for (const { header } of adapters) {
    for (const { site, rank } of header.sites) ranks.set(site, Math.max(ranks.get(site) ?? 0, paddedRank(rank)));
  }
  return ranks;
}

export function covers(have: SiteRanks, need: SiteRanks): boolean {
  for (const [site, rank] of need) if ((have.get(site) ?? 0) < rank) return false;
  return true;
}

export function unite(one: SiteRanks, other: SiteRanks): SiteRanks {
  const ranks = new Map(one);
  for (const [site, rank] of other) ranks.set(site, Math.max(ranks.get(site) ?? 0, rank));
  return ranks;
}

/** Where the inputs of one group lie inside its memory, in float32 units. Lanes of an input are contiguous. */
export interface GroupLayout {
  readonly group: LoraInputGroup;
  readonly partRanks: readonly number[];
  /** First column of each part in A. */
  readonly partColumns: readonly number[];
  readonly rankSum: number;
  readonly outSum: number;
  readonly a: InputLayout | null;
  /** A once more in int8 with a scale for each column, for the forms that take it so. */
  readonly levels: { readonly a: InputLayout; readonly scales: InputLayout } | null;
  readonly b: readonly InputLayout[];
  readonly gain: InputLayout | null;
  readonly bias: InputLayout | null;
}

export interface InputLayout {
  /** Position of its group in the layout. */
  readonly group: number;
  readonly offset: number;
  readonly laneLength: number;
}

export interface LaneLayout {
  readonly groups: readonly GroupLayout[];
  /** Float32 values that each group takes. Groups have memory of their own: all of them together may pass what one view can show. */
  readonly groupLengths: readonly number[];
  /** Float32 values that one lane holds of A, B and levels of A (four in a value). */
  readonly laneLength: number;
}

const ALIGNMENT = 16;
/** Of one byte each, in a float32 value's place. */
const LEVELS_PER_VALUE = 4;

/**
 * Lays out all inputs for `laneCount` lanes, levels for the groups of `levelled`. The embedding's A is gathered by token at each call and has no
 * place here.
 */
export function layoutLanes(
  groups: readonly LoraInputGroup[],
  ranks: SiteRanks,
  laneCount: number,
  levelled: ReadonlySet<string> = new Set(),
): LaneLayout {
  const groupLengths = groups.map(() => 0);
  let laneLength = 0;
  const layouts = groups.map((group, position): GroupLayout => {
    const place = (length: number): InputLayout => {
      const offset = groupLengths[position] ?? 0;
      groupLengths[position] = Math.ceil((offset + length * laneCount) / ALIGNMENT) * ALIGNMENT;
      return { group: position, offset, laneLength: length };
    };
    const partRanks = group.parts.map(({ site }) => ranks.get(site) ?? 0);
    const partColumns = partRanks.map((_, index) => partRanks.slice(0, index).reduce((sum, rank) => sum + rank, 0));
    const rankSum = partRanks.reduce((sum, rank) => sum + rank, 0);
    const outSum = group.parts.reduce((sum, part) => sum + part.outFeatures, 0);
    const a = group.kind === 'embedding' ? null : place(group.inFeatures * rankSum);
    const b = group.parts.map((part, index) => place((partRanks[index] ?? 0) * part.outFeatures));
    // Widths that can be quantised are multiples of 32.
    const levels = levelled.has(group.id) ? { a: place((group.inFeatures * rankSum) / LEVELS_PER_VALUE), scales: place(rankSum) } : null;
    laneLength += [a, levels?.a, ...b].reduce((sum, input) => sum + (input?.laneLength ?? 0), 0);
    const gain = group.inputs.gain === undefined ? null : place(outSum);
    const bias = group.inputs.bias === undefined ? null : place(outSum);
    return { group, partRanks, partColumns, rankSum, outSum, a, levels, b, gain, bias };
  });
  return { groups: layouts, groupLengths, laneLength };
}
