// An open GGUF file: its header in memory, tensors read one by one.
import { fileSource, memorySource, type ByteSource } from '../byte-source.ts';
import { FormatError } from '../format-error.ts';
import { quoted } from '../quoted.ts';
import { ByteCursor, PrefixTooShort } from './byte-cursor.ts';
import { dequantize } from './dequantize.ts';
import { parseGgufHeader, type GgufHeader, type GgufTensorInfo } from './header.ts';
import { GGUF_LIMITS, type GgufLimits } from './limits.ts';

export interface GgufFile extends GgufHeader {
  /** Bytes as they are in the file. @throws FormatError for an unknown name, or when the file shrank. */
  readTensor(name: string): Promise<Uint8Array>;
  /** Values in row-major order of `shape`. @throws FormatError also for a type that cannot be dequantised. */
  readFloat32(name: string): Promise<Float32Array>;
  close(): Promise<void>;
}

const FIRST_READ_BYTES = 1 << 20;

/**
 * Opens a file and reads its header only. Close it when done.
 * @throws FormatError for a malformed file, or the system's error.
 */
export async function openGguf(path: string, limits: Partial<GgufLimits> = {}): Promise<GgufFile> {
  const source = await fileSource(path, 'gguf');
  try {
    return ggufFile(source, await readHeader(source, { ...GGUF_LIMITS, ...limits }));
  } catch (error) {
    await source.close();
    throw error;
  }
}

/**
 * The same for a whole file in memory; tensors are views into `bytes`.
 * @throws FormatError for a malformed file.
 */
export function parseGguf(bytes: Uint8Array, limits: Partial<GgufLimits> = {}): GgufFile {
  const header = parseGgufHeader(new ByteCursor(bytes, bytes.byteLength), { ...GGUF_LIMITS, ...limits });
  return ggufFile(memorySource(bytes), header);
}

/** The header's length is known only after parsing, so a prefix is parsed and, when too short, read again at least twice as long. */
async function readHeader(source: ByteSource, limits: GgufLimits): Promise<GgufHeader> {
  let prefixBytes = Math.min(FIRST_READ_BYTES, limits.headerBytes);
  for (;;) {
    const prefix = await source.read(0, Math.min(prefixBytes, source.byteLength));
    try {
      return parseGgufHeader(new ByteCursor(prefix, source.byteLength), limits);
    } catch (error) {
      if (!(error instanceof PrefixTooShort)) throw error;
      if (error.neededBytes > limits.headerBytes) throw new FormatError('gguf', `the header is longer than ${limits.headerBytes} bytes`);
      prefixBytes = Math.min(limits.headerBytes, Math.max(error.neededBytes, prefixBytes * 2));
    }
  }
}

function ggufFile(source: ByteSource, header: GgufHeader): GgufFile {
  const find = (name: string): GgufTensorInfo => {
    const tensor = header.tensors.get(name);
    if (tensor === undefined) throw new FormatError('gguf', `there is no tensor ${quoted(name)}`);
    return tensor;
  };
  const readTensor = async (name: string): Promise<Uint8Array> => {
    const { offset, byteLength } = find(name);
    return source.read(offset, byteLength);
  };
  return {
    ...header,
    readTensor,
    readFloat32: async (name) => {
      const { type, valueCount } = find(name);
      return dequantize(type, await readTensor(name), valueCount);
    },
    close: () => source.close(),
  };
}
