// Content-addressed files on their way to a row, and those that something needs without a row. For whoever keeps files in the blob store,
// so that all blobs appear and disappear in one queue and under one rule.
import type { Readable } from 'node:stream';
import type { Digest } from '../core/index.ts';
import type { Storage } from '../storage/index.ts';
import type { GarbageCollector } from './garbage.ts';
import type { SerialQueue } from './serial-queue.ts';

/** A blob that stays until `release`, and afterwards while a row refers to it. */
export interface HeldBlob {
  readonly digest: Digest;
  readonly bytes: number;
  readonly release: () => void;
}

export class BlobKeeper {
  private readonly blobs: Storage['blobs'];
  private readonly blobChanges: SerialQueue;
  private readonly garbage: GarbageCollector;

  constructor(blobs: Storage['blobs'], blobChanges: SerialQueue, garbage: GarbageCollector) {
    this.blobs = blobs;
    this.blobChanges = blobChanges;
    this.garbage = garbage;
  }

  /** Folder for files that are to be adopted, on the same file system. Leftovers are removed at start. */
  get temporaryFolder(): string {
    return this.blobs.temporaryFolder;
  }

  /** Consumes the file. */
  async adopt(temporaryPath: string): Promise<HeldBlob> {
    return await this.blobChanges.run(async () => {
      const { digest, bytes } = await this.blobs.adopt(temporaryPath);
      return { digest, bytes, release: this.hold([digest]) };
    });
  }

  async put(content: Uint8Array): Promise<HeldBlob> {
    return await this.blobChanges.run(async () => {
      const digest = await this.blobs.put(content);
      return { digest, bytes: content.byteLength, release: this.hold([digest]) };
    });
  }

  /** Keeps blobs whether a row names them or not; they go when the last hold has ended and no row does. */
  hold(digests: readonly Digest[]): () => void {
    const release = this.garbage.holds.hold(digests);
    this.garbage.suspect(digests);
    return release;
  }

  /** Path of a blob that a row or a hold keeps. */
  path(digest: Digest): string {
    return this.blobs.path(digest);
  }

  open(digest: Digest): { readonly stream: Readable; readonly bytes: number } {
    return this.blobs.open(digest);
  }

  /** Says that rows which named these blobs are gone: a blob goes when nothing else needs it. */
  suspect(digests: readonly Digest[]): void {
    this.garbage.suspect(digests);
  }
}
