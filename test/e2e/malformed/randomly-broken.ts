// A fuzz-made corpus: a valid adapter file with one fault at seeded random places. Each fault is a fault wherever it lands.
import fc from 'fast-check';

interface RandomlyBroken {
  readonly name: string;
  readonly bytes: Uint8Array;
}

const LENGTH_BYTES = 8;
const SEED = 20261123;
const PLACES_EACH = 12;
const QUIET_NAN = [0, 0, 0xc0, 0x7f];
const NEGATIVE_INFINITY = [0, 0, 0x80, 0xff];

/** `valid`: a safetensors file of float32 tensors. */
export function randomlyBroken(valid: Uint8Array): readonly RandomlyBroken[] {
  const headerBytes = Number(new DataView(valid.buffer, valid.byteOffset).getBigUint64(0, true));
  const dataStart = LENGTH_BYTES + headerBytes;
  const valueCount = (valid.length - dataStart) / 4;
  const jsonBytes = new TextDecoder().decode(valid.subarray(LENGTH_BYTES, dataStart)).trimEnd().length;
  const places = (end: number, kind: number): number[] => fc.sample(fc.nat({ max: end - 1 }), { numRuns: PLACES_EACH, seed: SEED + kind });
  return [
    ...places(valid.length, 1).map((at) => ({ name: `cut off at byte ${at}`, bytes: valid.slice(0, at) })),
    ...places(valueCount * 4, 2).map((at) => ({ name: `with bytes put in at ${at} of the data`, bytes: grown(valid, dataStart + at) })),
    ...places(jsonBytes, 3).map((at) => ({
      name: `with a zero byte at ${at} of the header`,
      bytes: replaced(valid, LENGTH_BYTES + at, [0]),
    })),
    ...places(jsonBytes, 4).map((at) => ({ name: `with a header length of ${at}`, bytes: withHeaderLength(valid, at) })),
    ...places(valueCount, 5).map((at) => ({ name: `with NaN as value ${at}`, bytes: replaced(valid, dataStart + at * 4, QUIET_NAN) })),
    ...places(valueCount, 6).map((at) => ({
      name: `with an infinite value ${at}`,
      bytes: replaced(valid, dataStart + at * 4, NEGATIVE_INFINITY),
    })),
  ];
}

function grown(bytes: Uint8Array, at: number): Uint8Array {
  return Uint8Array.from([...bytes.subarray(0, at), 1, 2, 3, 4, ...bytes.subarray(at)]);
}

function replaced(bytes: Uint8Array, at: number, values: readonly number[]): Uint8Array {
  const copy = bytes.slice();
  copy.set(values, at);
  return copy;
}

function withHeaderLength(bytes: Uint8Array, length: number): Uint8Array {
  const copy = bytes.slice();
  new DataView(copy.buffer, copy.byteOffset).setBigUint64(0, BigInt(length), true);
  return copy;
}
