// A GGUF file for each way in which one can be wrong.
import { GGUF_VALUE, ggufBytes, type GgufSpec, type GgufTensorSpec, stringPair, uint32Pair } from './gguf-bytes.ts';

export interface BrokenGguf {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly message: RegExp;
}

const F32 = 0;
const Q4_0 = 2;
const BIG = 1n << 62n;

function tensor(changes: Partial<GgufTensorSpec> = {}): GgufTensorSpec {
  return { name: 'a', dimensions: [8], typeId: F32, offset: 0, ...changes };
}

function broken(name: string, spec: GgufSpec, message: RegExp): BrokenGguf {
  return { name, bytes: ggufBytes(spec), message };
}

export const BROKEN_GGUF: readonly BrokenGguf[] = [
  { name: 'an empty file', bytes: new Uint8Array(0), message: /ends at byte 0/ },
  { name: 'a file that is cut off in its counts', bytes: ggufBytes({}).subarray(0, 20), message: /inside its header/ },
  broken('another magic', { magic: 0x46554748 }, /does not start with "GGUF"/),
  broken('version 1', { version: 1 }, /version 1 is not supported/),
  broken('version 4', { version: 4 }, /version 4 is not supported/),
  broken('a big-endian file', { version: 0x03000000 }, /big-endian/),
  broken('more tensors than allowed', { tensorCount: BIG }, /number of tensors is 4611686018427387904/),
  broken('2^64 - 1 tensors', { tensorCount: (1n << 64n) - 1n }, /number of tensors is 18446744073709551615/),
  broken('more metadata than allowed', { pairCount: BIG }, /number of metadata pairs/),
  broken('fewer pairs than it says', { pairCount: 1 }, /inside its header/),
  broken('fewer tensors than it says', { tensorCount: 1 }, /inside its header/),
  broken('an empty key', { pairs: [uint32Pair('', 1)] }, /key is empty/),
  broken('a key twice', { pairs: [uint32Pair('k', 1), uint32Pair('k', 1)] }, /duplicate metadata key "k"/),
  broken('a key of 513 bytes', { pairs: [uint32Pair('k'.repeat(513), 1)] }, /length of a metadata key is 513/),
  broken('a key that is not UTF-8', { pairs: [(bytes) => bytes.u64(1).u8(0xff).u32(GGUF_VALUE.uint8).u8(1)] }, /not valid UTF-8/),
  broken('a string longer than the file', { pairs: [(bytes) => bytes.string('k').u32(GGUF_VALUE.string).u64(1000)] }, /inside its header/),
  broken(
    'a string of 2^62 bytes',
    { pairs: [(bytes) => bytes.string('k').u32(GGUF_VALUE.string).u64(BIG)] },
    /length of a metadata string/,
  ),
  broken('a string that is not UTF-8', { pairs: [(bytes) => bytes.string('k').u32(GGUF_VALUE.string).u64(1).u8(0x80)] }, /not valid UTF-8/),
  broken('an unknown value type', { pairs: [(bytes) => bytes.string('k').u32(13).u64(0)] }, /unknown value type 13/),
  broken('a boolean of 2', { pairs: [(bytes) => bytes.string('k').u32(GGUF_VALUE.boolean).u8(2)] }, /expected 0 or 1/),
  broken(
    'an array of arrays',
    { pairs: [(bytes) => bytes.string('k').u32(GGUF_VALUE.array).u32(GGUF_VALUE.array).u64(0)] },
    /arrays of arrays/,
  ),
  broken(
    'an array of an unknown type',
    { pairs: [(bytes) => bytes.string('k').u32(GGUF_VALUE.array).u32(99).u64(0)] },
    /unknown value type 99/,
  ),
  broken(
    'an array of 2^62 elements',
    { pairs: [(bytes) => bytes.string('k').u32(GGUF_VALUE.array).u32(GGUF_VALUE.uint8).u64(BIG)] },
    /length of array "k"/,
  ),
  broken(
    'an array of 8 million strings in a small file',
    { pairs: [(bytes) => bytes.string('k').u32(GGUF_VALUE.array).u32(GGUF_VALUE.string).u64(8_000_000)] },
    /does not fit in the file/,
  ),
  broken('an alignment of 0', { pairs: [uint32Pair('general.alignment', 0)] }, /power of two/),
  broken('an alignment of 24', { pairs: [uint32Pair('general.alignment', 24)] }, /power of two/),
  broken('an alignment of 2^31', { pairs: [uint32Pair('general.alignment', 2 ** 31)] }, /power of two/),
  broken('an alignment that is text', { pairs: [stringPair('general.alignment', '32')] }, /power of two/),
  broken('an empty tensor name', { tensors: [tensor({ name: '' })], dataBytes: 32 }, /empty name/),
  broken('a tensor twice', { tensors: [tensor(), tensor({ offset: 32 })], dataBytes: 64 }, /duplicate tensor name "a"/),
  broken('five dimensions', { tensors: [tensor({ dimensions: [1, 1, 1, 1, 1] })], dataBytes: 32 }, /5 dimensions, at most 4/),
  broken('a dimension of 2^63', { tensors: [tensor({ dimensions: [1n << 63n] })], dataBytes: 32 }, /dimension 0 is 9223372036854775808/),
  broken('sizes whose product overflows to 0', { tensors: [tensor({ dimensions: [1n << 32n, 1n << 32n] })] }, /too large/),
  broken('an unknown ggml type', { tensors: [tensor({ typeId: 4 })], dataBytes: 32 }, /unknown ggml type 4/),
  broken(
    'a row that is not whole blocks',
    { tensors: [tensor({ dimensions: [16, 2], typeId: Q4_0 })], dataBytes: 32 },
    /not whole Q4_0 blocks/,
  ),
  broken('an offset that is not aligned', { tensors: [tensor({ offset: 4 })], dataBytes: 64 }, /not a multiple of 32/),
  broken('an offset of 2^63', { tensors: [tensor({ offset: 1n << 63n })], dataBytes: 64 }, /offset is 9223372036854775808/),
  broken('an offset beyond the file', { tensors: [tensor({ offset: 3200 })], dataBytes: 32 }, /belong to no tensor/),
  broken('data that the file lacks', { tensors: [tensor({ dimensions: [16] })], dataBytes: 32 }, /of a file of/),
  broken('no data at all', { tensors: [tensor()] }, /of a file of/),
  broken(
    'tensors that overlap',
    { tensors: [tensor({ dimensions: [16] }), tensor({ name: 'b', offset: 32 })], dataBytes: 64 },
    /"b" overlaps/,
  ),
  broken('two tensors on the same bytes', { tensors: [tensor(), tensor({ name: 'b' })], dataBytes: 32 }, /overlaps/),
  broken('a gap before the first tensor', { tensors: [tensor({ offset: 32 })], dataBytes: 64 }, /32 bytes before tensor "a"/),
  broken('a gap between tensors', { tensors: [tensor(), tensor({ name: 'b', offset: 64 })], dataBytes: 96 }, /32 bytes before tensor "b"/),
  broken('bytes after the last padding', { tensors: [tensor({ dimensions: [7] })], dataBytes: 33 }, /1 bytes after the last tensor/),
];
