// Small statistics of repeated measurements.

export interface Summary {
  readonly median: number;
  readonly smallest: number;
  readonly largest: number;
}

/** `values` holds at least one number. */
export function summarise(values: readonly number[]): Summary {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.slice(Math.floor((sorted.length - 1) / 2), Math.floor(sorted.length / 2) + 1);
  if (middle.length === 0) throw new Error('there is nothing to summarise');
  return {
    median: middle.reduce((sum, value) => sum + value, 0) / middle.length,
    smallest: sorted[0] ?? NaN,
    largest: sorted.at(-1) ?? NaN,
  };
}

/** Median and range, to so many digits after the point. */
export function shown({ median, smallest, largest }: Summary, digits: number): string {
  return `${median.toFixed(digits)} (${smallest.toFixed(digits)}–${largest.toFixed(digits)})`;
}

/** Median of the ratios of what was measured in the same round: drifts of the machine's speed cancel out. */
export function pairedRatio(numerators: readonly number[], denominators: readonly number[]): Summary {
  return summarise(numerators.map((value, round) => value / (denominators[round] ?? NaN)));
}
