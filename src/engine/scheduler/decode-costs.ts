// What decode calls cost by their number of rows, in milliseconds: moving estimates, fed with measurements. Knows no clock.

/** `plain`: the base or a merged adapter, whose graph is the same. `side`: with adapters beside the base. */
export type DecodeKind = 'plain' | 'side';

export type DecodeCosts = Readonly<Record<DecodeKind, Map<number, number>>>;

/** Weight of the newest measurement. */
const NEWEST_SHARE = 0.2;
/** A pause of the machine counts as no more than this many times the estimate. */
const OUTLIER_FACTOR = 2;
/** Of a call, what does not grow with its rows: reading weights. Only for numbers of rows beyond all that were measured. */
const FIXED_SHARE = 0.4;
/** A call without side paths is taken to cost this much of one with them until one was measured. It is tried then, and measured. */
const UNMEASURED_PLAIN = 0.9;

export function createDecodeCosts(): DecodeCosts {
  return { plain: new Map(), side: new Map() };
}

export function recordDecodeRows(costs: DecodeCosts, kind: DecodeKind, rowCount: number, ms: number): void {
  const known = costs[kind].get(rowCount);
  costs[kind].set(rowCount, known === undefined ? ms : known + NEWEST_SHARE * (Math.min(ms, OUTLIER_FACTOR * known) - known));
}

/** Milliseconds of a call of so many rows; 0 for no row, null while nothing like it was measured. */
export function predictDecode(costs: DecodeCosts, kind: DecodeKind, rowCount: number): number | null {
  if (rowCount === 0) return 0;
  const measured = interpolate(costs[kind], rowCount);
  if (measured !== null || kind === 'side') return measured;
  const side = interpolate(costs.side, rowCount);
  return side === null ? null : side * UNMEASURED_PLAIN;
}

function interpolate(byRows: ReadonlyMap<number, number>, rowCount: number): number | null {
  const counts = [...byRows.keys()].toSorted((a, b) => a - b);
  const below = counts.findLast((count) => count <= rowCount);
  const above = counts.find((count) => count >= rowCount);
  const at = (count: number): number => byRows.get(count) ?? Number.NaN;
  if (below !== undefined && above !== undefined) {
    return below === above ? at(below) : at(below) + ((at(above) - at(below)) * (rowCount - below)) / (above - below);
  }
  const nearest = below ?? above;
  return nearest === undefined ? null : at(nearest) * (FIXED_SHARE + ((1 - FIXED_SHARE) * rowCount) / nearest);
}
