// The header of a GGUF file, versions 2 and 3, little-endian: metadata and where each tensor lies. Reads no tensor data.
// Follows ggml's own reader (gguf.cpp): no nested arrays, aligned tensors without gaps.
import { FormatError } from '../format-error.ts';
import { quoted } from '../quoted.ts';
import type { ByteCursor } from './byte-cursor.ts';
import { GGML_TYPES, type GgmlType } from './ggml-types.ts';
import type { GgufLimits } from './limits.ts';
import { readMetadata, type GgufMetadata } from './metadata.ts';

export interface GgufTensorInfo {
  readonly name: string;
  /** Name of the ggml type, for example `Q4_1`. */
  readonly type: string;
  /** NumPy order: the last dimension is contiguous (ggml's dimensions reversed). */
  readonly shape: readonly number[];
  readonly valueCount: number;
  /** Bytes from the start of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

export interface GgufHeader {
  readonly version: number;
  /** Bytes to which tensors are aligned. */
  readonly alignment: number;
  readonly metadata: GgufMetadata;
  /** In the order of their data. */
  readonly tensors: ReadonlyMap<string, GgufTensorInfo>;
}

export const MAGIC = 0x46554747;
export const DEFAULT_ALIGNMENT = 32;
const MAX_ALIGNMENT = 1 << 16;
const MAX_DIMENSIONS = 4;

/**
 * Parses the header at the cursor.
 * @throws FormatError for malformed input, PrefixTooShort when more of the file must be in memory.
 */
export function parseGgufHeader(cursor: ByteCursor, limits: GgufLimits): GgufHeader {
  if (cursor.uint32() !== MAGIC) throw fail('the file does not start with "GGUF"');
  const version = parseVersion(cursor.uint32());
  const tensorCount = cursor.count(limits.tensorCount, 'the number of tensors');
  const metadata = readMetadata(cursor, limits);
  const alignment = parseAlignment(metadata);
  const relative = new Map<string, GgufTensorInfo>();
  for (let index = 0; index < tensorCount; index += 1) {
    const tensor = readTensorInfo(cursor, limits, alignment);
    if (relative.has(tensor.name)) throw fail(`duplicate tensor name ${quoted(tensor.name)}`);
    relative.set(tensor.name, tensor);
  }
  const fileBytes = cursor.position + cursor.remainingBytes;
  const tensors = placeTensors([...relative.values()], { headerBytes: cursor.position, alignment, fileBytes });
  return { version, alignment, metadata, tensors };
}

function parseVersion(version: number): number {
  if (version === 2 || version === 3) return version;
  const swapped = (version & 0xffff) === 0 ? '; it seems to be big-endian' : '';
  throw fail(`version ${version} is not supported; expected 2 or 3${swapped}`);
}

function parseAlignment(metadata: GgufMetadata): number {
  const alignment = metadata.get('general.alignment') ?? DEFAULT_ALIGNMENT;
  const isPowerOfTwo =
    typeof alignment === 'number' && alignment >= 1 && alignment <= MAX_ALIGNMENT && Number.isInteger(Math.log2(alignment));
  if (!isPowerOfTwo) throw fail(`general.alignment must be a power of two up to ${MAX_ALIGNMENT}`);
  return alignment;
}

/** Offset is still relative to the start of the tensor data. */
function readTensorInfo(cursor: ByteCursor, limits: GgufLimits, alignment: number): GgufTensorInfo {
  const name = cursor.string(limits.nameBytes, 'a tensor name');
  if (name === '') throw fail('a tensor has an empty name');
  const dimensionCount = cursor.uint32();
  if (dimensionCount > MAX_DIMENSIONS)
    throw fail(`tensor ${quoted(name)}: ${dimensionCount} dimensions, at most ${MAX_DIMENSIONS} are allowed`);
  const dimensions: number[] = [];
  for (let axis = 0; axis < dimensionCount; axis += 1) {
    dimensions.push(cursor.count(Number.MAX_SAFE_INTEGER, `tensor ${quoted(name)}: dimension ${axis}`));
  }
  const typeId = cursor.uint32();
  const type = GGML_TYPES.get(typeId);
  if (type === undefined) throw fail(`tensor ${quoted(name)}: unknown ggml type ${typeId}`);
  const sizes = tensorSizes(name, type, dimensions);
  const offset = cursor.count(Number.MAX_SAFE_INTEGER, `tensor ${quoted(name)}: offset`);
  if (offset % alignment !== 0) throw fail(`tensor ${quoted(name)}: offset ${offset} is not a multiple of ${alignment}`);
  return { name, type: type.name, shape: dimensions.toReversed(), ...sizes, offset };
}

function tensorSizes(name: string, type: GgmlType, dimensions: readonly number[]): { valueCount: number; byteLength: number } {
  const rowValues = dimensions[0] ?? 1;
  if (rowValues % type.blockValues !== 0) {
    throw fail(`tensor ${quoted(name)}: rows of ${rowValues} values are not whole ${type.name} blocks of ${type.blockValues}`);
  }
  const valueCount = dimensions.reduce((product, size) => product * BigInt(size), 1n);
  const byteLength = (valueCount / BigInt(type.blockValues)) * BigInt(type.blockBytes);
  if (byteLength > BigInt(Number.MAX_SAFE_INTEGER) || valueCount > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw fail(`tensor ${quoted(name)}: shape [${dimensions.toReversed().join(', ')}] is too large`);
  }
  return { valueCount: Number(valueCount), byteLength: Number(byteLength) };
}

interface Placement {
  readonly headerBytes: number;
  readonly alignment: number;
  readonly fileBytes: number;
}

/** Makes offsets absolute. Each tensor must begin right after the padding of the one before it, the last end within the file's last padding. */
function placeTensors(relative: GgufTensorInfo[], { headerBytes, alignment, fileBytes }: Placement): ReadonlyMap<string, GgufTensorInfo> {
  const align = (position: number): number => Math.ceil(position / alignment) * alignment;
  const dataStart = align(headerBytes);
  const tensors = new Map<string, GgufTensorInfo>();
  let end = headerBytes;
  for (const tensor of relative.toSorted((left, right) => left.offset - right.offset || left.byteLength - right.byteLength)) {
    const { name, byteLength } = tensor;
    const offset = dataStart + tensor.offset;
    if (offset < end) throw fail(`tensor ${quoted(name)} overlaps the tensor before it`);
    if (offset > align(end)) throw fail(`${offset - align(end)} bytes before tensor ${quoted(name)} belong to no tensor`);
    end = offset + byteLength;
    if (end > fileBytes) throw fail(`tensor ${quoted(name)} ends at byte ${end} of a file of ${fileBytes} bytes`);
    tensors.set(name, { ...tensor, offset });
  }
  if (fileBytes > align(end)) throw fail(`${fileBytes - align(end)} bytes after the last tensor belong to no tensor`);
  return tensors;
}

function fail(problem: string): FormatError {
  return new FormatError('gguf', problem);
}
