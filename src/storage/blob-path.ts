// Where a blob lies below the blob folder. The engine process follows the same rule without importing this room.
import path from 'node:path';
import { parseDigest, type Digest } from '../core/index.ts';

/**
 * Path of a blob: `<folder>/<first two hex digits>/<digest>`.
 * @throws Error when the digest is not 64 lower-case hexadecimal digits, whatever its type claims.
 */
export function blobPath(folder: string, digest: Digest): string {
  if (parseDigest(digest) === undefined) throw new Error('blob path: a digest is 64 lower-case hexadecimal digits');
  return path.join(folder, digest.slice(0, 2), digest);
}
