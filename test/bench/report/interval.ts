// A 95 % confidence interval of a median that needs no distribution: order statistics, whose ranks the binomial distribution gives.
import { summarise } from './statistics.ts';

export interface MedianInterval {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

const ERROR_PER_SIDE = 0.025;

/** `values` holds at least one number. */
export function medianInterval(values: readonly number[]): MedianInterval {
  const sorted = values.toSorted((a, b) => a - b);
  const rank = lowerRank(sorted.length);
  return { median: summarise(sorted).median, low: sorted[rank - 1] ?? NaN, high: sorted[sorted.length - rank] ?? NaN };
}

/** Largest rank r, at least 1, with P(fewer than r of n values lie below the median) of at most 2.5 %. */
function lowerRank(count: number): number {
  let logTerm = -count * Math.LN2;
  let below = Math.exp(logTerm);
  let rank = 0;
  while (below <= ERROR_PER_SIDE) {
    rank += 1;
    logTerm += Math.log((count - rank + 1) / rank);
    below += Math.exp(logTerm);
  }
  return Math.max(1, rank);
}
