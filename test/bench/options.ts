// What every part of the benchmark is told.

export interface BenchOptions {
  /** Rounds of interleaved measurements. */
  readonly rounds: number;
  /** Sizes of the decode batch, ascending. */
  readonly rowCounts: readonly number[];
}
