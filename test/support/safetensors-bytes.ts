// Makes safetensors files byte by byte, so that tests can break each rule of the format alone.

/** A file with this header text (or these header bytes) and `data` bytes of data. */
export function safetensorsBytes(header: string | Uint8Array, data: number | Uint8Array = 0, declaredHeaderBytes?: bigint): Uint8Array {
  const headerBytes = typeof header === 'string' ? new TextEncoder().encode(header) : header;
  const dataBytes = typeof data === 'number' ? new Uint8Array(data) : data;
  const file = new Uint8Array(8 + headerBytes.length + dataBytes.length);
  new DataView(file.buffer).setBigUint64(0, declaredHeaderBytes ?? BigInt(headerBytes.length), true);
  file.set(headerBytes, 8);
  file.set(dataBytes, 8 + headerBytes.length);
  return file;
}

/** JSON text of one tensor's header entry. */
export function entryText(name: string, shape: string, begin: number | string, end: number | string, dtype = 'F32'): string {
  return `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":${shape},"data_offsets":[${begin},${end}]}`;
}

export interface BrokenFile {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** What the error message must say. */
  readonly message: RegExp;
}

const A = entryText('a', '[1]', 0, 4);

function broken(name: string, header: string | Uint8Array, data: number, message: RegExp, declaredHeaderBytes?: bigint): BrokenFile {
  return { name, bytes: safetensorsBytes(header, data, declaredHeaderBytes), message };
}

function entryWith(fields: string): string {
  return `{"a":{${fields}}}`;
}

const manyTensors = Array.from({ length: 20_001 }, (_, index) => entryText(`t${index}`, '[0]', 0, 0)).join(',');

/** A file for each way in which an uploaded safetensors file can be wrong. */
export const BROKEN_SAFETENSORS: readonly BrokenFile[] = [
  { name: 'an empty file', bytes: new Uint8Array(0), message: /too short/ },
  { name: 'seven bytes', bytes: new Uint8Array(7), message: /too short/ },
  {
    name: 'a zip archive (a pickled .bin file)',
    bytes: new TextEncoder().encode('PK\u0003\u0004 archive/data.pkl'),
    message: /at most 4194304/,
  },
  broken('a header length above the cap', `{${A}}`, 4, /at most 4194304/, 1n << 40n),
  broken('a header length of 2^64 - 1', `{${A}}`, 4, /at most 4194304/, (1n << 64n) - 1n),
  broken('a header length beyond the file', `{${A}}`, 4, /does not fit/, 1000n),
  broken('an empty header', '', 0, /does not start with "\{"/),
  broken('a header that is a list', '[]', 0, /does not start with "\{"/),
  broken('a header after white space', ` {${A}}`, 4, /does not start with "\{"/),
  broken('a header after a byte order mark', `\uFEFF{${A}}`, 4, /does not start with "\{"/),
  broken('a header that is cut off', '{"a":', 0, /expected a JSON value/),
  broken('text after the header object', `{${A}}x`, 4, /after the end/),
  broken('a NUL after the header object', `{${A}}\u0000`, 4, /after the end/),
  broken('a trailing comma', `{${A},}`, 4, /quoted key/),
  broken('a comment', `{/**/${A}}`, 4, /quoted key/),
  broken('invalid UTF-8 in a name', Uint8Array.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), 0, /not valid UTF-8/),
  broken('overlong UTF-8 in a name', Uint8Array.from([0x7b, 0x22, 0xc0, 0xaf, 0x22, 0x3a, 0x31, 0x7d]), 0, /not valid UTF-8/),
  broken('a lone surrogate in a name', `{"\\ud800":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4, /lone surrogate/),
  broken('an unescaped control character in a name', `{"a\nb":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4, /control character/),
  broken('an escaped control character in a name', `{${entryText('a\nb', '[1]', 0, 4)}}`, 4, /control character/),
  broken('a tensor twice', `{${A},${A}}`, 4, /duplicate key "a"/),
  broken('a tensor twice, once escaped', `{${A},${A.replace('"a"', '"\\u0061"')}}`, 4, /duplicate key "a"/),
  broken('two __metadata__', `{"__metadata__":{},"__metadata__":{},${A}}`, 4, /duplicate key "__metadata__"/),
  broken(
    'a duplicate field of a tensor',
    entryWith('"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]'),
    4,
    /duplicate key "dtype"/,
  ),
  broken('a duplicate metadata key', `{"__metadata__":{"k":"1","k":"2"},${A}}`, 4, /duplicate key "k"/),
  broken('a tensor named __proto__', `{${entryText('__proto__', '[1]', 0, 4)}}`, 4, /"__proto__" is reserved/),
  broken('a tensor below constructor', `{${entryText('a.constructor.weight', '[1]', 0, 4)}}`, 4, /is reserved/),
  broken('metadata named __proto__', `{"__metadata__":{"__proto__":"x"},${A}}`, 4, /"__proto__" is reserved/),
  broken('an empty tensor name', `{${entryText('', '[1]', 0, 4)}}`, 4, /empty name/),
  broken('a tensor name of 513 bytes', `{${entryText('n'.repeat(513), '[1]', 0, 4)}}`, 4, /longer than 512 bytes/),
  broken('a tensor name of 171 characters of 3 bytes', `{${entryText('\u20ac'.repeat(171), '[1]', 0, 4)}}`, 4, /longer than 512 bytes/),
  broken('20,001 tensors', `{${manyTensors}}`, 0, /at most 20000/),
  broken('metadata that is a string', `{"__metadata__":"pt",${A}}`, 4, /__metadata__ is not an object/),
  broken('a metadata value that is a number', `{"__metadata__":{"k":1},${A}}`, 4, /"k" is not a string/),
  broken('metadata of more than 64 KiB', `{"__metadata__":{"k":"${'x'.repeat(65_536)}"},${A}}`, 4, /larger than 65536/),
  broken('a tensor that is a number', '{"a":1}', 0, /not an object/),
  broken('a tensor that is null', '{"a":null}', 0, /not an object/),
  broken('an unknown field of a tensor', entryWith('"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1'), 4, /unknown key "x"/),
  broken('no dtype', entryWith('"shape":[1],"data_offsets":[0,4]'), 4, /dtype is missing/),
  broken('a dtype that is a number', entryWith('"dtype":1,"shape":[1],"data_offsets":[0,4]'), 4, /dtype is missing or not a string/),
  broken('float64', `{${entryText('a', '[1]', 0, 8, 'F64')}}`, 8, /"F64" is not supported/),
  broken('int8', `{${entryText('a', '[4]', 0, 4, 'I8')}}`, 4, /"I8" is not supported/),
  broken('a dtype in lower case', `{${entryText('a', '[1]', 0, 4, 'f32')}}`, 4, /"f32" is not supported/),
  broken('no shape', entryWith('"dtype":"F32","data_offsets":[0,4]'), 4, /shape is not a list/),
  broken('a shape that is a number', `{${entryText('a', '1', 0, 4)}}`, 4, /shape is not a list/),
  broken('three dimensions', `{${entryText('a', '[1,1,1]', 0, 4)}}`, 4, /3 dimensions, at most 2/),
  broken('a negative size', `{${entryText('a', '[-1]', 0, 4)}}`, 4, /non-negative integer/),
  broken('a size of minus zero', `{${entryText('a', '[-0]', 0, 0)}}`, 0, /non-negative integer/),
  broken('a fractional size', `{${entryText('a', '[1.5]', 0, 6)}}`, 6, /non-negative integer/),
  broken('a size with an exponent', `{${entryText('a', '[1e0]', 0, 4)}}`, 4, /non-negative integer/),
  broken('a size that is a string', `{${entryText('a', '["1"]', 0, 4)}}`, 4, /must hold integers/),
  broken('a size with a leading zero', `{${entryText('a', '[01]', 0, 4)}}`, 4, /expected "," or "\]"/),
  broken('a size of NaN', `{${entryText('a', '[NaN]', 0, 4)}}`, 4, /expected a JSON value/),
  broken('a size above 2^53', `{${entryText('a', '[9007199254740993]', 0, 4)}}`, 4, /2\^53/),
  broken('a size of 400 digits', `{${entryText('a', `[${'9'.repeat(400)}]`, 0, 4)}}`, 4, /out of range/),
  broken(
    'a shape whose product overflows 64 bits to 0',
    `{${entryText('a', '[4294967296,4294967296]', 0, 0)}}`,
    0,
    /needs 73786976294838206464 bytes/,
  ),
  broken('data_offsets with one number', entryWith('"dtype":"F32","shape":[1],"data_offsets":[0]'), 4, /two integers/),
  broken('data_offsets with three numbers', entryWith('"dtype":"F32","shape":[1],"data_offsets":[0,4,8]'), 4, /two integers/),
  broken('data_offsets that are strings', entryWith('"dtype":"F32","shape":[1],"data_offsets":["0","4"]'), 4, /must hold integers/),
  broken('data that ends before it begins', `{${entryText('a', '[1]', 4, 0)}}`, 4, /end before they begin/),
  broken('data shorter than the shape', `{${entryText('a', '[2]', 0, 4)}}`, 4, /needs 8 bytes, data_offsets hold 4/),
  broken('data longer than the shape', `{${entryText('a', '[1]', 0, 8)}}`, 8, /needs 4 bytes, data_offsets hold 8/),
  broken('data beyond the file', `{${entryText('a', '[2]', 0, 8)}}`, 4, /of a file of/),
  broken('a gap before the first tensor', `{${entryText('a', '[1]', 4, 8)}}`, 8, /4 bytes before tensor "a"/),
  broken('a gap between tensors', `{${A},${entryText('b', '[1]', 8, 12)}}`, 12, /4 bytes before tensor "b"/),
  broken('tensors that overlap in part', `{${entryText('a', '[2]', 0, 8)},${entryText('b', '[2]', 4, 12)}}`, 12, /"b" overlaps/),
  broken('two tensors on the same bytes', `{${A},${entryText('b', '[1]', 0, 4)}}`, 4, /overlaps/),
  broken('an empty tensor inside another', `{${entryText('a', '[2]', 0, 8)},${entryText('b', '[0]', 4, 4)}}`, 8, /"b" overlaps/),
  broken('bytes after the last tensor', `{${A}}`, 5, /1 bytes after the last tensor/),
  broken('data without any tensor', '{}', 4, /4 bytes after the last tensor/),
  broken('nesting of 100,000 lists', `{"a":${'['.repeat(100_000)}`, 0, /nested deeper than 3/),
];
