// How long to wait before the next start of a process that keeps dying. Pure.

export interface Backoff {
  readonly initialMs: number;
  readonly maxMs: number;
  /** A process that was ready for this long is forgiven its past. */
  readonly healthyMs: number;
}

/** The delay after `failures` starts in a row that did not stay healthy, at least 1: initial, doubled each time, up to the maximum. */
export function backoffMs(backoff: Backoff, failures: number): number {
  return Math.min(backoff.maxMs, backoff.initialMs * 2 ** Math.min(failures - 1, 30));
}
