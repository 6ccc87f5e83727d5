// Content-addressed files on a local disk. Knows bytes and digests, nothing of what they mean or who refers to them.
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parseDigest, type Digest } from '../core/index.ts';
import { blobPath } from './blob-path.ts';
import type { DiskSync } from './disk-sync.ts';
import type { BlobStore } from './ports.ts';

const HASH_CHUNK_BYTES = 1 << 20;

/**
 * Opens the blob store below `root`: blobs in `sha256/`, temporary files in `temporary/`. Leftover temporary files are removed, so
 * only the owner of the data directory may call this.
 * @param sync - how to wait for the disk; `noDiskSync` where the rows that refer to the blobs do not outlive the process either.
 */
export function openFileBlobStore(root: string, sync: DiskSync): BlobStore {
  const folder = path.join(root, 'sha256');
  const temporaryFolder = path.join(root, 'temporary');
  rmSync(temporaryFolder, { recursive: true, force: true });
  mkdirSync(temporaryFolder, { recursive: true, mode: 0o700 });
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return new FileBlobStore(folder, temporaryFolder, sync);
}

class FileBlobStore implements BlobStore {
  readonly folder: string;
  readonly temporaryFolder: string;
  private readonly sync: DiskSync;
  private temporaryCount = 0;

  constructor(folder: string, temporaryFolder: string, sync: DiskSync) {
    this.sync = sync;
    this.folder = folder;
    this.temporaryFolder = temporaryFolder;
  }

  async adopt(temporaryPath: string): Promise<{ readonly digest: Digest; readonly bytes: number }> {
    await this.sync.file(temporaryPath);
    const digest = await hashFile(temporaryPath);
    const { size } = await stat(temporaryPath);
    const target = blobPath(this.folder, digest);
    const shard = path.dirname(target);
    await mkdir(shard, { recursive: true, mode: 0o700 });
    if (await this.isIntact(digest)) await rm(temporaryPath);
    else await rename(temporaryPath, target);
    // Also when shard or blob were there: whoever made them may have died, or still be, between that and the fsync.
    await this.sync.folder(shard);
    await this.sync.folder(this.folder);
    return { digest, bytes: size };
  }

  async put(bytes: Uint8Array): Promise<Digest> {
    this.temporaryCount += 1;
    const temporaryPath = path.join(this.temporaryFolder, `put-${this.temporaryCount}`);
    try {
      await writeFile(temporaryPath, bytes, { flag: 'wx', mode: 0o600 });
      return (await this.adopt(temporaryPath)).digest;
    } finally {
      await rm(temporaryPath, { force: true });
    }
  }

  path(digest: Digest): string {
    return blobPath(this.folder, digest);
  }

  has(digest: Digest): boolean {
    return existsSync(this.path(digest));
  }

  async isIntact(digest: Digest): Promise<boolean> {
    return this.has(digest) && (await hashFile(this.path(digest))) === digest;
  }

  open(digest: Digest): ReturnType<BlobStore['open']> {
    const filePath = this.path(digest);
    const bytes = statSync(filePath).size;
    return { stream: createReadStream(filePath), bytes };
  }

  async remove(digest: Digest): Promise<void> {
    await rm(this.path(digest), { force: true });
  }

  list(): readonly Digest[] {
    return readdirSync(this.folder).flatMap((shard) =>
      readdirSync(path.join(this.folder, shard)).flatMap((name) => {
        const digest = parseDigest(name);
        return digest === undefined ? [] : [digest];
      }),
    );
  }
}

async function hashFile(filePath: string): Promise<Digest> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(filePath, { highWaterMark: HASH_CHUNK_BYTES }), hash);
  return hash.digest('hex') as Digest;
}
