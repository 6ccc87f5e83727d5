// How fast the running job goes, and so when it may be done.
import type { Clock } from '../../core/index.ts';
import type { JobRow } from '../../storage/index.ts';

/** Steps that the mean is taken over: evaluations and other programs make single ones long. */
const WINDOW = 20;

export class JobPace {
  readonly #clock: Clock;
  /** Monotonic times of the latest steps. */
  #stepsAtMs: readonly number[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  reset(): void {
    this.#stepsAtMs = [];
  }

  stepDone(): void {
    this.#stepsAtMs = [...this.#stepsAtMs, this.#clock.monotonic()].slice(-WINDOW - 1);
  }

  /** Milliseconds since the epoch; null before two steps were seen. */
  finishMs({ step, totalSteps }: Pick<JobRow, 'step' | 'totalSteps'>): number | null {
    const [first, last] = [this.#stepsAtMs[0], this.#stepsAtMs.at(-1)];
    const count = this.#stepsAtMs.length - 1;
    if (totalSteps === null || count < 1 || first === undefined || last === undefined) return null;
    const stepMs = (last - first) / count;
    const sinceLastMs = this.#clock.monotonic() - last;
    return Math.round(this.#clock.now() + Math.max(0, stepMs * (totalSteps - step) - sinceLastMs));
  }
}
