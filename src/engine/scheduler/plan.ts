// Which session call runs next. A pure policy: rows, the lanes' history and measured costs in, one call plan out.
// Prompts are read between decode calls, or in them, as far as the interlude has time; decode batches of different capacities and of merged adapters, the
// lanes, take turns.
import type { Digest } from '../../core/index.ts';
import type { RowId } from '../ports.ts';
import type { CallCosts } from './costs.ts';
import { chunkFor, type ChunkPlace, type Interlude, remainingMs } from './interlude.ts';

export interface RowView {
  readonly id: RowId;
  readonly capacity: number;
  /** The merged adapter that computes the row; null: the base's session. */
  readonly merged: Digest | null;
  /** Positions already in the KV cache. */
  readonly cachedPositions: number;
  /** Positions that must be in the cache before the row decodes. */
  readonly prefillTarget: number;
  /** Step of the row's latest prefill chunk; before the first, that in which it joined: who joins later does not come before who waits. */
  readonly lastPrefillStep: number;
  /** Largest chunk this row may take in one call. */
  readonly maxChunk: number;
  /** Identity of the block of the prefix cache that the row fills next; null when it fills none. */
  readonly nextBlock: string | null;
  /** The row can take that block from the cache when another row has filled it. */
  readonly canShare: boolean;
  /** It can be part of a mixed call. */
  readonly canMix: boolean;
}

export interface PrefillPlan {
  readonly kind: 'prefill';
  readonly row: RowId;
  readonly tokenCount: number;
}

export interface DecodePlan {
  readonly kind: 'decode';
  readonly capacity: number;
  readonly merged: Digest | null;
  readonly rows: readonly RowId[];
}

/** `decode` is of the base's session. */
export interface MixedPlan {
  readonly kind: 'mixed';
  readonly prefill: PrefillPlan;
  readonly decode: DecodePlan;
}

export type CallPlan = PrefillPlan | DecodePlan | MixedPlan;

/** Rows of one lane share decode calls. */
export type LaneName = string;

export function laneOf({ capacity, merged }: { readonly capacity: number; readonly merged: Digest | null }): LaneName {
  return merged === null ? String(capacity) : `${capacity} ${merged}`;
}

/** Lane → step in which it last ran. */
export type LaneTurns = ReadonlyMap<LaneName, number>;

export interface Pace {
  readonly costs: CallCosts;
  readonly interlude: Interlude;
  readonly maxStretch: number;
}

/**
 * A chunk of a prompt while the interlude has time for one, in one call with the decode lane whose turn it is where that can be; else that lane, the one that
 * waited longest; null when no row has work.
 */
export function planCall(rows: readonly RowView[], turns: LaneTurns, pace: Pace): CallPlan | null {
  const decode = planDecode(rows, turns);
  const row = nextToRead(rows);
  if (row === null) return decode;
  const place = decode !== null && canMix(rows, row, decode, pace) ? 'mixed' : 'alone';
  const tokenCount = chunkOf(row, decodingCount(rows), place, pace);
  if (tokenCount === 0) return decode;
  const prefill: PrefillPlan = { kind: 'prefill', row: row.id, tokenCount };
  return decode !== null && place === 'mixed' ? { kind: 'mixed', prefill, decode } : prefill;
}

function planDecode(rows: readonly RowView[], turns: LaneTurns): DecodePlan | null {
  const decoding = rows.filter((row) => !isPrefilling(row));
  const lanes = new Map(decoding.map((row) => [laneOf(row), row]));
  const lane = leastRecent([...lanes.keys()], (candidate) => turns.get(candidate) ?? -1);
  const first = lane === null ? undefined : lanes.get(lane);
  if (first === undefined) return null;
  const { capacity, merged } = first;
  return { kind: 'decode', capacity, merged, rows: decoding.filter((row) => laneOf(row) === lane).map((row) => row.id) };
}

/** What a mixed call takes longer than its decode call is known only where that was measured. */
function canMix(rows: readonly RowView[], row: RowView, decode: DecodePlan, { costs }: Pace): boolean {
  const parts = [row, ...rows.filter(({ id }) => decode.rows.includes(id))];
  return costs.decodeMs.has(laneOf(decode)) && parts.every((part) => part.canMix && part.merged === null);
}

export function decodingCount(rows: readonly Pick<RowView, 'cachedPositions' | 'prefillTarget'>[]): number {
  return rows.filter((row) => !isPrefilling(row)).length;
}

/** Prefilling rows take turns, so a short prompt does not wait for the whole of a long one. */
function nextToRead(rows: readonly RowView[]): RowView | null {
  return leastRecent(withoutFollowers(rows.filter(isPrefilling)), (candidate) => candidate.lastPrefillStep);
}

function chunkOf(
  { cachedPositions, prefillTarget, maxChunk }: RowView,
  decoding: number,
  place: ChunkPlace,
  { costs, interlude, maxStretch }: Pace,
): number {
  const leftMs = remainingMs(interlude, maxStretch, decoding);
  const limits = { position: cachedPositions, tokenCount: prefillTarget - cachedPositions, maxChunk, place };
  return chunkFor(place === 'mixed' ? costs.mixed : costs.prefill, interlude, leftMs, limits);
}

/** A row whose next block is being computed by one that joined before waits for it: choices of one request read their prompt once. */
function withoutFollowers(rows: readonly RowView[]): readonly RowView[] {
  const claimed = new Set<string>();
  return rows.filter(({ nextBlock, canShare }) => {
    if (nextBlock === null) return true;
    const isClaimed = claimed.has(nextBlock);
    claimed.add(nextBlock);
    return !(isClaimed && canShare);
  });
}

/** Whether some of its prompt is still to be read. */
export function isPrefilling(row: Pick<RowView, 'cachedPositions' | 'prefillTarget'>): boolean {
  return row.cachedPositions < row.prefillTarget;
}

/** The first of the items with the smallest turn. */
function leastRecent<Item>(items: readonly Item[], turnOf: (item: Item) => number): Item | null {
  let best: Item | null = null;
  for (const item of items) {
    if (best === null || turnOf(item) < turnOf(best)) best = item;
  }
  return best;
}
