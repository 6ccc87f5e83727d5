// What every part of the benchmark is told.

export interface BenchOptions {
  /** Rounds of interleaved measurements. */
  readonly rounds: number;
  /** Sizes of the decode batch, ascending. */
  readonly rowCounts: readonly number[];
  /** Of ours; the first one is compared with the peers. */
  readonly precisions: readonly string[];
  /** Also the peers that need a Python environment. */
  readonly withPeers: boolean;
}
