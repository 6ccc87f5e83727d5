// Random access to an immutable sequence of bytes, from a file or from memory: what lets readers of big files fetch one range at a time.
import { open, type FileHandle } from 'node:fs/promises';
import { FormatError } from './format-error.ts';

/** Node reads at most 2 GiB at once. */
const CHUNK_BYTES = 1 << 30;

export interface ByteSource {
  readonly byteLength: number;
  /** Exactly `length` bytes from `offset`; the caller keeps the range inside the source. */
  read(offset: number, length: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

export function memorySource(bytes: Uint8Array): ByteSource {
  return {
    byteLength: bytes.byteLength,
    read: (offset, length) => Promise.resolve(bytes.subarray(offset, offset + length)),
    close: () => Promise.resolve(),
  };
}

/**
 * Opens a file for ranged reads; its size is taken once.
 * @throws the system's error when it cannot be opened; FormatError when it is not a regular file.
 */
export async function fileSource(path: string, format: string): Promise<ByteSource> {
  const handle = await open(path, 'r');
  try {
    const status = await handle.stat();
    if (!status.isFile()) throw new FormatError(format, 'is not a regular file');
    return {
      byteLength: status.size,
      read: (offset, length) => readRange(handle, offset, length, format),
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function readRange(handle: FileHandle, offset: number, length: number, format: string): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let filled = 0;
  while (filled < length) {
    const wanted = Math.min(CHUNK_BYTES, length - filled);
    const { bytesRead } = await handle.read(bytes, filled, wanted, offset + filled);
    if (bytesRead === 0) throw new FormatError(format, 'the file became shorter while it was read');
    filled += bytesRead;
  }
  return bytes;
}
