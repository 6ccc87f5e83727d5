// Which session call runs next. A pure policy: rows, the lanes' history and measured costs in, one call plan out.
// Prompts are read between decode calls as far as the interlude has time; decode batches of different capacities and of merged adapters, the
// lanes, take turns.
import type { Digest } from '../../core/index.ts';
import type { RowId } from '../ports.ts';
import type { CallCosts } from './costs.ts';
import { chunkFor, type Interlude, remainingMs } from './interlude.ts';

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
}

export type CallPlan =
  | { readonly kind: 'prefill'; readonly row: RowId; readonly tokenCount: number }
  | { readonly kind: 'decode'; readonly capacity: number; readonly merged: Digest | null; readonly rows: readonly RowId[] };

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

/** A chunk of a prompt while the interlude has time for one, else the decode lane that waited longest; null when no row has work. */
export function planCall(rows: readonly RowView[], turns: LaneTurns, pace: Pace): CallPlan | null {
  const prefill = planPrefill(rows, pace);
  if (prefill !== null) return prefill;
  const decoding = rows.filter((row) => !isPrefilling(row));
  const lanes = new Map(decoding.map((row) => [laneOf(row), row]));
  const lane = leastRecent([...lanes.keys()], (candidate) => turns.get(candidate) ?? -1);
  const first = lane === null ? undefined : lanes.get(lane);
  if (first === undefined) return null;
  const { capacity, merged } = first;
  return { kind: 'decode', capacity, merged, rows: decoding.filter((row) => laneOf(row) === lane).map((row) => row.id) };
}

export function decodingCount(rows: readonly Pick<RowView, 'cachedPositions' | 'prefillTarget'>[]): number {
  return rows.filter((row) => !isPrefilling(row)).length;
}

/** Prefilling rows take turns, so a short prompt does not wait for the whole of a long one. */
function planPrefill(rows: readonly RowView[], { costs, interlude, maxStretch }: Pace): CallPlan | null {
  const row = leastRecent(withoutFollowers(rows.filter(isPrefilling)), (candidate) => candidate.lastPrefillStep);
  if (row === null) return null;
  const leftMs = remainingMs(interlude, maxStretch, decodingCount(rows));
  const { cachedPositions, prefillTarget, maxChunk } = row;
  const tokenCount = chunkFor(costs, interlude, leftMs, {
    position: cachedPositions,
    tokenCount: prefillTarget - cachedPositions,
    maxChunk,
  });
  return tokenCount === 0 ? null : { kind: 'prefill', row: row.id, tokenCount };
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
