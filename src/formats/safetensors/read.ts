// Reads a whole safetensors file that is already in memory. For files too big for that, see file.ts.
import { LENGTH_BYTES, parseSafetensorsHeader, readHeaderLength } from './header.ts';
import { ADAPTER_LIMITS, type SafetensorsLimits, type SafetensorsTensor } from './tensor.ts';

export interface SafetensorsFile {
  readonly metadata: ReadonlyMap<string, string>;
  /** In the order of their data. */
  readonly tensors: ReadonlyMap<string, SafetensorsTensor>;
}

/**
 * Tensors are views into `bytes`. Limits default to those for uploaded adapters.
 * @throws FormatError for anything but a complete, unambiguous file.
 */
export function readSafetensors(bytes: Uint8Array, limits: Partial<SafetensorsLimits> = {}): SafetensorsFile {
  const held: SafetensorsLimits = { ...ADAPTER_LIMITS, ...limits };
  const headerLength = readHeaderLength(bytes, bytes.byteLength, held);
  const headerBytes = bytes.subarray(LENGTH_BYTES, LENGTH_BYTES + headerLength);
  const { metadata, entries } = parseSafetensorsHeader(headerBytes, bytes.byteLength, held);
  const tensors = new Map<string, SafetensorsTensor>();
  for (const { name, dtype, shape, offset, byteLength } of entries.values()) {
    tensors.set(name, { name, dtype, shape, bytes: bytes.subarray(offset, offset + byteLength) });
  }
  return { metadata, tensors };
}
