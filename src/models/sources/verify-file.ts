// Is a file exactly the one that was promised? Sizes and digests of files on disk. Knows no network.
import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';

/** `git-blob`: SHA-1 over "blob <bytes>\0" and the content, git's own id of a file that is not in large file storage. */
export interface FileDigest {
  readonly kind: 'sha256' | 'git-blob';
  /** Lower-case hexadecimal. */
  readonly hex: string;
}

export interface ExpectedFile {
  readonly bytes: number;
  /** Null when the source names none: then only the size is checked. */
  readonly digest: FileDigest | null;
}

/** Size of a plain file; null when there is none. */
export async function fileBytes(path: string): Promise<number | null> {
  const found = await stat(path).catch(() => null);
  return found?.isFile() === true ? found.size : null;
}

export async function fileMatches(path: string, expected: ExpectedFile): Promise<boolean> {
  if ((await fileBytes(path)) !== expected.bytes) return false;
  if (expected.digest === null) return true;
  return (await hexDigest(path, expected)) === expected.digest.hex;
}

async function hexDigest(path: string, { bytes, digest }: ExpectedFile): Promise<string> {
  const hash: Hash = digest?.kind === 'git-blob' ? createHash('sha1').update(`blob ${bytes}\0`) : createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}
