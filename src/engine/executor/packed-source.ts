// Packed adapters from content-addressed files: the engine's only way to adapter bytes.
import { closeSync, fstatSync, openSync, read } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { decodePacked } from '../../adapters/packed.ts';
import { AppError, type Digest } from '../../core/index.ts';
import type { PackedAdapterSource } from '../ports.ts';

const readInto = promisify(read);

/**
 * Reads `<folder>/<first two hex digits>/<digest>`, the blob store's rule. The file is read by one call outside of this thread, which then needs
 * one turn of the event loop and not one for each half megabyte: between two turns lies a step of the engine.
 */
export function createPackedSource(blobFolder: string): PackedAdapterSource {
  return {
    async load(digest) {
      const bytes = await readWhole(join(blobFolder, digest.slice(0, 2), digest));
      const adapter = decode(bytes, digest);
      // Nothing but its merged form is ever computed with, so its arrays would only fill memory.
      return adapter.header.full === undefined ? adapter : { header: adapter.header, bytes: new Uint8Array() };
    },
  };
}

async function readWhole(path: string): Promise<Uint8Array> {
  try {
    const file = openSync(path, 'r');
    try {
      // Not from Node's pool: arrays are read in place, so the file must start on a boundary of its own buffer.
      const bytes = Buffer.allocUnsafeSlow(fstatSync(file).size);
      let length = 0;
      while (length < bytes.length) {
        const { bytesRead } = await readInto(file, bytes, length, bytes.length - length, length);
        if (bytesRead === 0) break;
        length += bytesRead;
      }
      return bytes.subarray(0, length);
    } finally {
      closeSync(file);
    }
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
