// The header of a safetensors file: strict where the format is, stricter where a stranger's file could mean two things.
// Layout: uint64 header length, JSON header, then data that the tensors cover exactly once.
import { FLOAT_BYTES } from '../float-bytes.ts';
import { FormatError } from '../format-error.ts';
import { isJsonArray, isJsonObject, parseStrictJson, type JsonObject, type JsonValue } from '../json/strict-json.ts';
import { quoted } from '../quoted.ts';
import { decodeUtf8 } from '../utf8.ts';
import { isPrototypeName, requireTensorName } from './tensor-name.ts';
import { ADAPTER_LIMITS, type SafetensorsDtype, type SafetensorsEntry, type SafetensorsLimits } from './tensor.ts';

export const LENGTH_BYTES = 8;
const FORMAT = 'safetensors';
const METADATA_KEY = '__metadata__';
const ENTRY_KEYS = ['dtype', 'shape', 'data_offsets'] as const;
const OPEN_BRACE = 0x7b;
export interface SafetensorsHeader {
  readonly metadata: ReadonlyMap<string, string>;
  /** In the order of their data. */
  readonly entries: ReadonlyMap<string, SafetensorsEntry>;
}

/**
 * Length of the JSON header from the file's first 8 bytes.
 * @throws FormatError when it is above the limit or does not fit in the file.
 */
export function readHeaderLength(prefix: Uint8Array, fileBytes: number, limits: SafetensorsLimits): number {
  if (fileBytes < LENGTH_BYTES || prefix.byteLength < LENGTH_BYTES)
    throw fail(`a file of ${fileBytes} bytes is too short for its header length`);
  const length = new DataView(prefix.buffer, prefix.byteOffset, LENGTH_BYTES).getBigUint64(0, true);
  if (length > BigInt(limits.headerBytes)) throw fail(`header of ${length} bytes, at most ${limits.headerBytes} are allowed`);
  if (length > BigInt(fileBytes - LENGTH_BYTES)) throw fail(`header of ${length} bytes does not fit in a file of ${fileBytes} bytes`);
  return Number(length);
}

/**
 * Checks the JSON header (without the 8 length bytes) of a file of `fileBytes` bytes.
 * @throws FormatError unless names are unique, every size matches its shape and the tensors cover the data exactly once.
 */
export function parseSafetensorsHeader(
  headerBytes: Uint8Array,
  fileBytes: number,
  limits: SafetensorsLimits = ADAPTER_LIMITS,
): SafetensorsHeader {
  if (headerBytes[0] !== OPEN_BRACE) throw fail('the header does not start with "{"');
  const text = decodeUtf8(headerBytes);
  if (text === undefined) throw fail('the header is not valid UTF-8');
  const root = parseStrictJson(text, FORMAT, {
    maxDepth: 3,
    maxValues: limits.tensorCount * (6 + limits.maxRank) + limits.metadataBytes,
    plainIntegersOnly: true,
  });
  if (!isJsonObject(root)) throw fail('the header is not a JSON object');

  const dataStart = LENGTH_BYTES + headerBytes.byteLength;
  const tensorCount = root.size - (root.has(METADATA_KEY) ? 1 : 0);
  if (tensorCount > limits.tensorCount) throw fail(`${tensorCount} tensors, at most ${limits.tensorCount} are allowed`);
  const entries: SafetensorsEntry[] = [];
  for (const [name, value] of root) {
    if (name !== METADATA_KEY) entries.push(parseEntry(name, value, dataStart, limits));
  }
  entries.sort((left, right) => left.offset - right.offset || left.byteLength - right.byteLength);
  requireExactCover(entries, dataStart, fileBytes);
  return {
    metadata: parseMetadata(root.get(METADATA_KEY), limits),
    entries: new Map(entries.map((entry) => [entry.name, entry])),
  };
}

function parseMetadata(value: JsonValue | undefined, limits: SafetensorsLimits): ReadonlyMap<string, string> {
  const metadata = new Map<string, string>();
  if (value === undefined) return metadata;
  if (!isJsonObject(value)) throw fail(`${METADATA_KEY} is not an object`);
  let usedBytes = 0;
  for (const [key, text] of value) {
    if (typeof text !== 'string') throw fail(`${METADATA_KEY} entry ${quoted(key)} is not a string`);
    if (isPrototypeName(key)) throw fail(`${METADATA_KEY} key ${quoted(key)} is reserved`);
    usedBytes += Buffer.byteLength(key) + Buffer.byteLength(text);
    if (usedBytes > limits.metadataBytes) throw fail(`${METADATA_KEY} is larger than ${limits.metadataBytes} bytes`);
    metadata.set(key, text);
  }
  return metadata;
}

function parseEntry(name: string, value: JsonValue, dataStart: number, limits: SafetensorsLimits): SafetensorsEntry {
  requireTensorName(name, limits.nameBytes);
  if (!isJsonObject(value)) throw fail(`tensor ${quoted(name)}: its description is not an object`);
  for (const key of value.keys()) {
    if (!ENTRY_KEYS.some((known) => known === key)) throw fail(`tensor ${quoted(name)}: unknown key ${quoted(key)}`);
  }
  const dtype = parseDtype(name, value.get('dtype'), limits);
  const shape = parseIntegers(name, value, 'shape');
  if (shape.length > limits.maxRank)
    throw fail(`tensor ${quoted(name)}: ${shape.length} dimensions, at most ${limits.maxRank} are allowed`);
  const [begin, end, ...rest] = parseIntegers(name, value, 'data_offsets');
  if (begin === undefined || end === undefined || rest.length > 0) throw fail(`tensor ${quoted(name)}: data_offsets must be two integers`);
  if (begin > end) throw fail(`tensor ${quoted(name)}: data_offsets [${begin}, ${end}] end before they begin`);
  const expectedBytes = shape.reduce((product, size) => product * BigInt(size), BigInt(FLOAT_BYTES[dtype]));
  if (expectedBytes !== BigInt(end - begin)) {
    throw fail(
      `tensor ${quoted(name)}: ${dtype} of shape [${shape.join(', ')}] needs ${expectedBytes} bytes, data_offsets hold ${end - begin}`,
    );
  }
  return { name, dtype, shape, offset: dataStart + begin, byteLength: end - begin };
}

function parseDtype(name: string, value: JsonValue | undefined, limits: SafetensorsLimits): SafetensorsDtype {
  const dtype = limits.dtypes.find((known) => known === value);
  if (dtype !== undefined) return dtype;
  const problem = typeof value === 'string' ? `dtype ${quoted(value)} is not supported` : 'dtype is missing or not a string';
  throw fail(`tensor ${quoted(name)}: ${problem}; expected ${limits.dtypes.join(', ')}`);
}

function parseIntegers(name: string, entry: JsonObject, key: 'shape' | 'data_offsets'): readonly number[] {
  const value = entry.get(key);
  if (!isJsonArray(value)) throw fail(`tensor ${quoted(name)}: ${key} is not a list`);
  return value.map((item) => {
    if (typeof item !== 'number' || !Number.isSafeInteger(item)) {
      throw fail(`tensor ${quoted(name)}: ${key} must hold integers from 0 to 2^53 - 1`);
    }
    return item;
  });
}

/** `entries` sorted by offset. Two tensors that share bytes, a gap and bytes after the last tensor are all refused. */
function requireExactCover(entries: readonly SafetensorsEntry[], dataStart: number, fileBytes: number): void {
  let covered = dataStart;
  for (const { name, offset, byteLength } of entries) {
    if (offset < covered) throw fail(`tensor ${quoted(name)} overlaps the tensor before it`);
    if (offset > covered) throw fail(`${offset - covered} bytes before tensor ${quoted(name)} belong to no tensor`);
    covered += byteLength;
    if (covered > fileBytes) throw fail(`tensor ${quoted(name)} ends at byte ${covered} of a file of ${fileBytes} bytes`);
  }
  if (covered < fileBytes) throw fail(`${fileBytes - covered} bytes after the last tensor belong to no tensor`);
}

function fail(problem: string): FormatError {
  return new FormatError(FORMAT, problem);
}
