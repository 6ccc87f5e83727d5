// Reads tensors of one big safetensors file range by range, never the whole file.
import { fileSource, type ByteSource } from '../byte-source.ts';
import { FormatError } from '../format-error.ts';
import { quoted } from '../quoted.ts';
import { LENGTH_BYTES, parseSafetensorsHeader, readHeaderLength, type SafetensorsHeader } from './header.ts';
import { CHECKPOINT_LIMITS, type SafetensorsEntry, type SafetensorsLimits, type SafetensorsTensor } from './tensor.ts';
import { tensorToFloat32 } from './values.ts';

/** An open file, or an open folder of shards (checkpoint.ts). */
export interface SafetensorsReader {
  readonly metadata: ReadonlyMap<string, string>;
  readonly tensors: ReadonlyMap<string, SafetensorsEntry>;
  /** @throws FormatError for a name that is not in `tensors`, or when the file shrank. */
  readTensor(name: string): Promise<SafetensorsTensor>;
  readFloat32(name: string): Promise<Float32Array>;
  close(): Promise<void>;
}

/**
 * Opens a file and checks its header. Limits default to those for base models. Close it when done.
 * @throws FormatError for a malformed header, or the system's error.
 */
export async function openSafetensorsFile(path: string, limits: Partial<SafetensorsLimits> = {}): Promise<SafetensorsReader> {
  const source = await fileSource(path, 'safetensors');
  try {
    return makeReader(source, await readHeader(source, { ...CHECKPOINT_LIMITS, ...limits }));
  } catch (error) {
    await source.close();
    throw error;
  }
}

async function readHeader(source: ByteSource, limits: SafetensorsLimits): Promise<SafetensorsHeader> {
  const prefix = await source.read(0, Math.min(LENGTH_BYTES, source.byteLength));
  const headerLength = readHeaderLength(prefix, source.byteLength, limits);
  return parseSafetensorsHeader(await source.read(LENGTH_BYTES, headerLength), source.byteLength, limits);
}

function makeReader(source: ByteSource, { metadata, entries }: SafetensorsHeader): SafetensorsReader {
  const readTensor = async (name: string): Promise<SafetensorsTensor> => {
    const entry = entries.get(name);
    if (entry === undefined) throw missingTensor(name);
    const bytes = await source.read(entry.offset, entry.byteLength);
    return { name, dtype: entry.dtype, shape: entry.shape, bytes };
  };
  return {
    metadata,
    tensors: entries,
    readTensor,
    readFloat32: async (name) => tensorToFloat32(await readTensor(name)),
    close: () => source.close(),
  };
}

export function missingTensor(name: string): FormatError {
  return new FormatError('safetensors', `there is no tensor ${quoted(name)}`);
}
