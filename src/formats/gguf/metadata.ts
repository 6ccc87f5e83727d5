// Key-value metadata of a GGUF file: typed pairs, read with every length checked before anything is allocated.
import { FormatError } from '../format-error.ts';
import { quoted } from '../quoted.ts';
import type { ByteCursor } from './byte-cursor.ts';
import type { GgufLimits } from './limits.ts';

/** 64-bit integers are numbers where that is exact, else bigints. */
export type GgufScalar = number | bigint | boolean | string;
export type GgufValue = GgufScalar | readonly GgufScalar[];
export type GgufMetadata = ReadonlyMap<string, GgufValue>;

interface ElementType {
  /** Least bytes of one element, by which a hostile array length is seen before anything is allocated. */
  readonly minBytes: number;
  readonly read: (cursor: ByteCursor, limits: GgufLimits) => GgufScalar;
}

const ARRAY_TYPE = 9;

const ELEMENT_TYPES: ReadonlyMap<number, ElementType> = new Map<number, ElementType>([
  [0, { minBytes: 1, read: (cursor) => cursor.uint8() }],
  [1, { minBytes: 1, read: (cursor) => cursor.int8() }],
  [2, { minBytes: 2, read: (cursor) => cursor.uint16() }],
  [3, { minBytes: 2, read: (cursor) => cursor.int16() }],
  [4, { minBytes: 4, read: (cursor) => cursor.uint32() }],
  [5, { minBytes: 4, read: (cursor) => cursor.int32() }],
  [6, { minBytes: 4, read: (cursor) => cursor.float32() }],
  [7, { minBytes: 1, read: readBoolean }],
  [8, { minBytes: 8, read: (cursor, limits) => cursor.string(limits.stringBytes, 'a metadata string') }],
  [10, { minBytes: 8, read: (cursor) => cursor.uint64() }],
  [11, { minBytes: 8, read: (cursor) => cursor.int64() }],
  [12, { minBytes: 8, read: (cursor) => cursor.float64() }],
]);

/** Reads the count and that many pairs. */
export function readMetadata(cursor: ByteCursor, limits: GgufLimits): GgufMetadata {
  const pairCount = cursor.count(limits.metadataCount, 'the number of metadata pairs');
  const metadata = new Map<string, GgufValue>();
  let elementsLeft = limits.arrayElements;
  for (let index = 0; index < pairCount; index += 1) {
    const key = cursor.string(limits.nameBytes, 'a metadata key');
    if (key === '') throw fail('a metadata key is empty');
    if (metadata.has(key)) throw fail(`duplicate metadata key ${quoted(key)}`);
    const typeId = cursor.uint32();
    if (typeId === ARRAY_TYPE) {
      const items = readArray(cursor, key, limits, elementsLeft);
      elementsLeft -= items.length;
      metadata.set(key, items);
    } else {
      metadata.set(key, elementType(typeId, key).read(cursor, limits));
    }
  }
  return metadata;
}

function readArray(cursor: ByteCursor, key: string, limits: GgufLimits, maxElements: number): readonly GgufScalar[] {
  const type = elementType(cursor.uint32(), key);
  const length = cursor.count(maxElements, `the length of array ${quoted(key)}`);
  if (length * type.minBytes > cursor.remainingBytes) throw fail(`array ${quoted(key)} of ${length} elements does not fit in the file`);
  const items: GgufScalar[] = [];
  for (let index = 0; index < length; index += 1) items.push(type.read(cursor, limits));
  return items;
}

function elementType(typeId: number, key: string): ElementType {
  const type = ELEMENT_TYPES.get(typeId);
  if (type !== undefined) return type;
  const problem = typeId === ARRAY_TYPE ? 'arrays of arrays are not supported' : `unknown value type ${typeId}`;
  throw fail(`metadata key ${quoted(key)}: ${problem}`);
}

function readBoolean(cursor: ByteCursor): boolean {
  const value = cursor.uint8();
  if (value > 1) throw fail(`a boolean is ${value}, expected 0 or 1`);
  return value === 1;
}

function fail(problem: string): FormatError {
  return new FormatError('gguf', problem);
}
