// Writes a safetensors file tensor after tensor, so that no more than one of them is in memory.
import { open, type FileHandle } from 'node:fs/promises';
import { FLOAT_BYTES, float32ToBytes } from '../float-bytes.ts';
import { LENGTH_BYTES } from './header.ts';
import type { SafetensorsDtype } from './tensor.ts';
import { encodeHeader } from './write.ts';

export interface PlannedTensor {
  readonly name: string;
  readonly shape: readonly number[];
}

/** Bytes of a tensor of this shape. */
export function tensorBytes({ shape }: Pick<PlannedTensor, 'shape'>, dtype: SafetensorsDtype): number {
  return shape.reduce((product, size) => product * size, FLOAT_BYTES[dtype]);
}

/**
 * Durable on return. Tensors lie in the order given.
 * @param read - values of a tensor, row-major; asked once for each.
 * @throws FormatError for names that are used twice or reserved, Error when `read` answers another number of values.
 */
export async function writeSafetensorsFile(
  path: string,
  dtype: SafetensorsDtype,
  tensors: readonly PlannedTensor[],
  read: (name: string) => Promise<Float32Array>,
): Promise<void> {
  const entries = tensors.map((tensor) => ({ ...tensor, dtype, byteLength: tensorBytes(tensor, dtype) }));
  const header = encodeHeader(entries, new Map([['format', 'pt']]));
  const length = new Uint8Array(LENGTH_BYTES);
  new DataView(length.buffer).setBigUint64(0, BigInt(header.byteLength), true);
  const file = await open(path, 'wx');
  try {
    await writeWhole(file, length);
    await writeWhole(file, header);
    for (const { name, byteLength } of entries) {
      const bytes = float32ToBytes(await read(name), dtype);
      if (bytes.byteLength !== byteLength) throw new Error(`writing ${name}: got ${bytes.byteLength} bytes, expected ${byteLength}`);
      await writeWhole(file, bytes);
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

async function writeWhole(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.byteLength;) written += (await file.write(bytes, written, bytes.byteLength - written)).bytesWritten;
}
