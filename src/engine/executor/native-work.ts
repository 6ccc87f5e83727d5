// Native code that runs on other threads: what it uses must stay until it has ended.

export class NativeWork {
  #running = 0;
  #done: (() => void) | null = null;

  async run<Result>(start: () => Promise<Result>): Promise<Result> {
    if (this.#done) throw new Error('the executor was closed');
    this.#running += 1;
    try {
      return await start();
    } finally {
      this.#running -= 1;
      if (this.#running === 0) this.#end();
    }
  }

  /** Nothing may be started any more; calls `done` at once, or when the last that runs has ended. */
  close(done: () => void): void {
    this.#done = done;
    if (this.#running === 0) done();
  }

  get isClosed(): boolean {
    return this.#done !== null;
  }

  #end(): void {
    this.#done?.();
  }
}
