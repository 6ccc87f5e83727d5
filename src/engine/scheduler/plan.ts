// Which session call runs next. A pure policy: rows and the lanes' history in, one call plan out.
// Lanes are the prefill work and one decode batch for each capacity. They take turns, so between two decode calls of a row
// lie at most one prefill chunk and one decode call of each other capacity: time between tokens stays bounded.
import type { RowId } from '../ports.ts';

export interface RowView {
  readonly id: RowId;
  readonly capacity: number;
  /** Positions already in the KV cache. */
  readonly cachedPositions: number;
  /** Positions that must be in the cache before the row decodes. */
  readonly prefillTarget: number;
  /** Step of the row's latest prefill chunk; -1 before the first. */
  readonly lastPrefillStep: number;
  /** Largest chunk this row may take in one call. */
  readonly maxChunk: number;
}

export type CallPlan =
  | { readonly kind: 'prefill'; readonly row: RowId; readonly tokenCount: number }
  | { readonly kind: 'decode'; readonly capacity: number; readonly rows: readonly RowId[] };

/** 'prefill' or the capacity of a decode batch → step in which the lane last ran. */
export type LaneTurns = ReadonlyMap<Lane, number>;
export type Lane = 'prefill' | number;

export function laneOf(plan: CallPlan): Lane {
  return plan.kind === 'prefill' ? 'prefill' : plan.capacity;
}

/** The call of the lane that has waited longest, null when no row has work. Rows come in the order of `rows`. */
export function planCall(rows: readonly RowView[], turns: LaneTurns): CallPlan | null {
  const prefilling = rows.filter(isPrefilling);
  const decoding = rows.filter((row) => !isPrefilling(row));
  const lanes: Lane[] = [...new Set(decoding.map((row) => row.capacity))];
  if (prefilling.length > 0) lanes.unshift('prefill');
  const lane = leastRecent(lanes, (candidate) => turns.get(candidate) ?? -1);
  if (lane === null) return null;
  if (lane === 'prefill') return planPrefill(prefilling);
  return { kind: 'decode', capacity: lane, rows: decoding.filter((row) => row.capacity === lane).map((row) => row.id) };
}

/** Prefilling rows take turns, so a short prompt does not wait for the whole of a long one. */
function planPrefill(rows: readonly RowView[]): CallPlan | null {
  const row = leastRecent(rows, (candidate) => candidate.lastPrefillStep);
  if (row === null) return null;
  return { kind: 'prefill', row: row.id, tokenCount: Math.min(row.prefillTarget - row.cachedPositions, row.maxChunk) };
}

function isPrefilling(row: RowView): boolean {
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
