// A closed loop of workers that repeat one request until told to stop, with counts that a test can wait on. No timers.

export class Load<Result> {
  readonly #request: () => Promise<Result>;
  readonly #workers: readonly Promise<void>[];
  readonly #waiting = new Set<{ readonly count: number; readonly resolve: () => void }>();
  readonly results: Result[] = [];
  readonly failures: unknown[] = [];
  #isFinished = false;
  #startedCount = 0;

  constructor(workerCount: number, request: () => Promise<Result>) {
    this.#request = request;
    this.#workers = Array.from({ length: workerCount }, () => this.#work());
  }

  /** Requests that have ended, well or badly. */
  get endedCount(): number {
    return this.results.length + this.failures.length;
  }

  get inFlightCount(): number {
    return this.#startedCount - this.endedCount;
  }

  /** Resolves once this many requests have ended. */
  async untilEnded(count: number): Promise<void> {
    if (this.endedCount >= count) return;
    await new Promise<void>((resolve) => this.#waiting.add({ count, resolve }));
  }

  /** Lets the requests in flight end and starts no more. */
  async finish(): Promise<void> {
    this.#isFinished = true;
    await Promise.all(this.#workers);
  }

  async #work(): Promise<void> {
    while (!this.#isFinished) {
      this.#startedCount += 1;
      try {
        this.results.push(await this.#request());
      } catch (error) {
        this.failures.push(error);
      }
      for (const waiter of this.#waiting) {
        if (this.endedCount < waiter.count) continue;
        this.#waiting.delete(waiter);
        waiter.resolve();
      }
    }
  }
}
