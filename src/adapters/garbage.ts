// Removes blobs that neither a row nor a hold needs. Runs among the other blob changes, so it never meets a half-made upload.
import { describeError, type Digest, type Logger } from '../core/index.ts';
import type { Storage } from '../storage/index.ts';
import { BlobHolds } from './blob-holds.ts';
import type { SerialQueue } from './serial-queue.ts';

export class GarbageCollector {
  readonly holds = new BlobHolds((digest) => this.freed(digest));
  private readonly storage: Storage;
  private readonly blobChanges: SerialQueue;
  private readonly logger: Logger;
  /** Blobs that may have lost their last row, or never had one. All others need no look at the database when a lease ends. */
  private readonly suspects = new Set<Digest>();

  /** @param blobChanges - where everything runs that makes blobs appear or disappear, one after the other. */
  constructor(storage: Storage, blobChanges: SerialQueue, logger: Logger) {
    this.storage = storage;
    this.blobChanges = blobChanges;
    this.logger = logger;
  }

  /** At start, before anything is held: one look at the rows and one at the folder; no blob is read. */
  async collectAll(): Promise<void> {
    const referenced = this.storage.adapters.referencedDigests();
    const garbage = this.storage.blobs.list().filter((digest) => !referenced.has(digest));
    for (const digest of garbage) await this.storage.blobs.remove(digest);
    if (garbage.length > 0) this.logger.info({ blobs: garbage.length }, 'removed blobs that no row refers to');
  }

  /** Says that these blobs may be garbage: they go as soon as nothing holds them, if no row refers to them then. */
  suspect(digests: readonly Digest[]): void {
    for (const digest of digests) {
      this.suspects.add(digest);
      if (!this.holds.isHeld(digest)) this.freed(digest);
    }
  }

  private freed(digest: Digest): void {
    if (!this.suspects.has(digest)) return;
    this.blobChanges
      .run(async () => await this.collect(digest))
      .catch((error: unknown) => this.logger.error({ error: describeError(error) }, 'could not remove a blob; the next start will'));
  }

  private async collect(digest: Digest): Promise<void> {
    // Held again since: the end of that hold brings it here once more.
    if (this.holds.isHeld(digest)) return;
    this.suspects.delete(digest);
    if (!this.storage.adapters.isReferenced(digest)) await this.storage.blobs.remove(digest);
  }
}
