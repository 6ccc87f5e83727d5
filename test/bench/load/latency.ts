// Percentiles and the mean of measured times.

export interface Latency {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  readonly mean: number;
}

/** Nearest-rank percentiles: values that were measured, none between two. `valuesMs` holds at least one. */
export function latencyOf(valuesMs: readonly number[]): Latency {
  const sorted = valuesMs.toSorted((a, b) => a - b);
  const percentile = (share: number): number => sorted[Math.ceil(share * sorted.length) - 1] ?? NaN;
  if (sorted.length === 0) throw new Error('there are no times to summarise');
  const mean = valuesMs.reduce((sum, value) => sum + value, 0) / valuesMs.length;
  return { p50: percentile(0.5), p99: percentile(0.99), max: percentile(1), mean };
}

export function shownLatency({ p50, p99, max }: Omit<Latency, 'mean'>): string {
  return `${p50.toFixed(0)} / ${p99.toFixed(0)} / ${max.toFixed(0)} ms`;
}
