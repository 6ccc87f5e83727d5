// Packed adapters from content-addressed files: the engine's only way to adapter bytes.
import { closeSync, fstatSync, openSync, readv } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { decodePacked } from '../../adapters/packed.ts';
import { AppError, type Digest } from '../../core/index.ts';
import { HostMemory } from '../../runtime/index.ts';
import type { PackedAdapterSource } from '../ports.ts';

const readPieces = promisify(readv);

const SCRATCH_BYTES = 256 * 1024;
/** Of one call to the system. */
const MOST_PIECES = 1024;

/**
 * Maps `<folder>/<first two hex digits>/<digest>`, the blob store's rule; whoever removes the file leaves what is mapped, and
 * nobody writes into a stored one.
 */
export function createPackedSource(blobFolder: string): PackedAdapterSource {
  return {
    async load(digest) {
      const bytes = await mapWhole(join(blobFolder, digest.slice(0, 2), digest));
      const adapter = decode(bytes, digest);
      // Nothing but its merged form is ever computed with, so its arrays would only fill memory.
      return adapter.header.full === undefined ? adapter : { header: adapter.header, bytes: new Uint8Array() };
    },
  };
}

/**
 * Read first, in one call outside of this thread, so that the system has the whole file in memory; into the same few pages again and again, as nobody looks at them.
 * To read 20 MB into memory of their own took the cores for 10 ms of page faults, which rows that decode meanwhile felt.
 */
async function mapWhole(path: string): Promise<Uint8Array> {
  try {
    const file = openSync(path, 'r');
    try {
      const { size } = fstatSync(file);
      if (size === 0) return new Uint8Array();
      const scratch = Buffer.allocUnsafeSlow(Math.min(size, SCRATCH_BYTES));
      for (let read = 0; read < size;) {
        const count = Math.min(MOST_PIECES, Math.ceil((size - read) / scratch.length));
        const { bytesRead } = await readPieces(
          file,
          Array.from({ length: count }, () => scratch),
          read,
        );
        if (bytesRead === 0) break;
        read += bytesRead;
      }
    } finally {
      closeSync(file);
    }
    return new Uint8Array(HostMemory.ofFile(path).intoCollected());
  } catch (cause) {
    throw new AppError('generation_failed', 'the stored adapter cannot be read: its packed file is missing; upload it again', { cause });
  }
}

function decode(bytes: Uint8Array, digest: Digest): ReturnType<typeof decodePacked> {
  try {
    return decodePacked(bytes);
  } catch (cause) {
    const message = `the stored adapter (sha256:${digest.slice(0, 12)}) cannot be read: its packed file is damaged; upload it again`;
    throw new AppError('generation_failed', message, { cause });
  }
}
