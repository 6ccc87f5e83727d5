// Counts who needs a blob although perhaps no row names it: leases of requests, and uploads that are not yet rows.
import type { Digest } from '../core/index.ts';

export class BlobHolds {
  private readonly counts = new Map<Digest, number>();
  private readonly onFree: (digest: Digest) => void;

  /** `onFree` is called whenever the last hold of a digest ends. */
  constructor(onFree: (digest: Digest) => void) {
    this.onFree = onFree;
  }

  /** @returns ends this hold; further calls do nothing. */
  hold(digests: readonly Digest[]): () => void {
    for (const digest of digests) this.counts.set(digest, (this.counts.get(digest) ?? 0) + 1);
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      for (const digest of digests) this.release(digest);
    };
  }

  isHeld(digest: Digest): boolean {
    return this.counts.has(digest);
  }

  private release(digest: Digest): void {
    const rest = (this.counts.get(digest) ?? 0) - 1;
    if (rest > 0) {
      this.counts.set(digest, rest);
      return;
    }
    this.counts.delete(digest);
    this.onFree(digest);
  }
}
