// Merges of a fake executor that end when a test says so.
import type { Digest } from '../../src/core/index.ts';
import type { FakeExecutor } from './fake-executor.ts';

interface OpenMerge {
  readonly operation: 'prepare' | 'load';
  readonly digest: Digest;
  readonly end: (error: Error | null) => void;
}

export class HeldMerges {
  readonly #open: OpenMerge[] = [];

  constructor(executor: FakeExecutor) {
    executor.onMerge = (operation, digest) =>
      new Promise((resolve, reject) => {
        this.#open.push({ operation, digest, end: (error) => (error === null ? resolve() : reject(error)) });
      });
  }

  /** What is waited for, in order: `prepare` or `load` with the digest. */
  get pending(): readonly (readonly ['prepare' | 'load', Digest])[] {
    return this.#open.map(({ operation, digest }) => [operation, digest]);
  }

  /** Ends all of them, well with null. Whoever waits goes on in a later turn of the event loop. */
  settle(error: Error | null): void {
    for (const { end } of this.#open.splice(0)) end(error);
  }
}
