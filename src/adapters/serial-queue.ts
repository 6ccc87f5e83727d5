// Runs asynchronous work one piece after the other, in the order of arrival.

export class SerialQueue {
  private last: Promise<unknown> = Promise.resolve();

  /** Settles as `work` does, once everything before it has settled. A failure does not stop what follows. */
  async run<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.last.then(work);
    this.last = result.catch(() => undefined);
    return await result;
  }

  /** Resolves when everything that was queued so far has settled. */
  async settled(): Promise<void> {
    await this.last;
  }
}
