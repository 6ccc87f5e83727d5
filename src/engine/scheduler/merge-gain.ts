// Whether an adapter's rows are faster in calls of their own over its merged weights, or beside all others. Pure.
import type { Digest } from '../../core/index.ts';
import { predictDecode, type DecodeCosts } from './decode-costs.ts';

/** A row that decodes or will. */
export interface GainRow {
  readonly capacity: number;
  readonly adapterDigest: Digest | null;
  /** The merged adapter that computes it now; null: adapters are applied beside the base. */
  readonly merged: Digest | null;
}

/** Below this, calls of its own are clearly faster; at 1 and above they are not. Between the two, everything stays as it is. */
export const ENTER_RATIO = 0.95;
export const LEAVE_RATIO = 1;

/**
 * Time until every row has got a token when the adapter's rows have merged calls of their own, relative to all rows beside one another.
 * Rows of other merged adapters have their own calls in both cases. Null without rows of the adapter, or before anything was measured.
 */
export function splitRatio(costs: DecodeCosts, digest: Digest, rows: readonly GainRow[]): number | null {
  const inPlay = rows.filter(({ adapterDigest, merged }) => adapterDigest === digest || merged === null);
  const capacities = new Set(inPlay.filter(({ adapterDigest }) => adapterDigest === digest).map(({ capacity }) => capacity));
  let apart = 0;
  let together = 0;
  for (const capacity of capacities) {
    const atCapacity = inPlay.filter((row) => row.capacity === capacity);
    const others = atCapacity.filter(({ adapterDigest }) => adapterDigest !== digest);
    const otherKind = others.some(({ adapterDigest }) => adapterDigest !== null) ? 'side' : 'plain';
    const own = predictDecode(costs, 'plain', atCapacity.length - others.length);
    const rest = predictDecode(costs, otherKind, others.length);
    const all = predictDecode(costs, 'side', atCapacity.length);
    if (own === null || rest === null || all === null) return null;
    apart += own + rest;
    together += all;
  }
  return together > 0 ? apart / together : null;
}
