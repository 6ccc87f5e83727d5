// Writes a small GGUF file, version 3: what an adapter needs and no more. The reader is header.ts.
import { FLOAT_BYTES, type FloatType } from '../float-bytes.ts';
import { FormatError } from '../format-error.ts';
import { quoted } from '../quoted.ts';
import { GGML_TYPES } from './ggml-types.ts';
import { DEFAULT_ALIGNMENT, MAGIC } from './header.ts';

export interface GgufTensorContent {
  readonly name: string;
  readonly type: FloatType;
  /** NumPy order: the last dimension is contiguous. */
  readonly shape: readonly number[];
  /** Little-endian elements. */
  readonly bytes: Uint8Array;
}

/** Text, or a number that is written as float32. */
export type GgufMetadataContent = ReadonlyMap<string, string | number>;

const VERSION = 3;
const FLOAT32_VALUE = 6;
const STRING_VALUE = 8;

/**
 * Tensors stand in the order given. Equal content, equal bytes.
 * @throws FormatError when a name is used twice or bytes do not match type and shape.
 */
export function writeGguf(metadata: GgufMetadataContent, tensors: readonly GgufTensorContent[]): Uint8Array {
  const names = new Set(tensors.map(({ name }) => name));
  if (names.size < tensors.length) throw new FormatError('gguf', 'a tensor name is used twice');
  const parts = [uint32(MAGIC), uint32(VERSION), uint64(tensors.length), uint64(metadata.size)];
  for (const [key, value] of metadata) {
    parts.push(string(key));
    if (typeof value === 'string') parts.push(uint32(STRING_VALUE), string(value));
    else parts.push(uint32(FLOAT32_VALUE), Buffer.from(new Float32Array([value]).buffer));
  }
  let offset = 0;
  for (const tensor of tensors) {
    parts.push(
      string(tensor.name),
      uint32(tensor.shape.length),
      ...tensor.shape.toReversed().map(uint64),
      uint32(typeId(tensor)),
      uint64(offset),
    );
    offset = align(offset + tensor.bytes.byteLength);
  }
  const headerBytes = parts.reduce((sum, part) => sum + part.byteLength, 0);
  parts.push(padding(headerBytes));
  for (const { bytes } of tensors) parts.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), padding(bytes.byteLength));
  return new Uint8Array(Buffer.concat(parts));
}

function typeId({ name, type, shape, bytes }: GgufTensorContent): number {
  const expected = shape.reduce((product, size) => product * size, FLOAT_BYTES[type]);
  if (expected !== bytes.byteLength) {
    throw new FormatError(
      'gguf',
      `tensor ${quoted(name)}: ${type} of shape [${shape.join(', ')}] needs ${expected} bytes, got ${bytes.byteLength}`,
    );
  }
  const found = [...GGML_TYPES].find(([, { name: typeName }]) => typeName === type);
  if (found === undefined) throw new Error(`gguf: ${type} is not among the ggml types`);
  return found[0];
}

function align(offset: number): number {
  return Math.ceil(offset / DEFAULT_ALIGNMENT) * DEFAULT_ALIGNMENT;
}

function padding(length: number): Buffer {
  return Buffer.alloc(align(length) - length);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function string(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([uint64(bytes.byteLength), bytes]);
}
