// Packed adapters from content-addressed files: the engine's only way to adapter bytes.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { decodePacked } from '../../adapters/packed.ts';
import { AppError } from '../../core/index.ts';
import type { PackedAdapterSource } from '../ports.ts';

/** Reads `<folder>/<first two hex digits>/<digest>`, the blob store's rule. */
export function createPackedSource(blobFolder: string): PackedAdapterSource {
  return {
    async load(digest) {
      let file: Buffer;
      try {
        file = await readFile(join(blobFolder, digest.slice(0, 2), digest));
      } catch (cause) {
        throw new AppError('generation_failed', 'the stored adapter cannot be read; upload it again', { cause });
      }
      // Arrays are read in place, so the file must start on a boundary of its own buffer.
      const aligned = file.byteOffset % 4 === 0 ? file : new Uint8Array(file);
      const adapter = decodePacked(aligned);
      if (adapter.header.full === undefined) return adapter;
      throw new AppError('unsupported_adapter', 'the adapter replaces whole tensors of the base, which only a merged model can hold');
    },
  };
}
