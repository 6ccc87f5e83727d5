// Half precision: exact over every bit pattern, and rounding to even at every midpoint.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesToFloat32, float32ToBytes } from './float-bytes.ts';

const everyPattern = Uint16Array.from({ length: 0x10000 }, (_, bits) => bits);

function patterns(bytes: Uint8Array): Uint16Array {
  return new Uint16Array(bytes.buffer);
}

/** Index of the first difference; undefined when the patterns are equal. */
function firstDifference(found: Uint16Array, expected: Uint16Array): number | undefined {
  const index = expected.findIndex((bits, place) => bits !== found[place]);
  if (index >= 0) return index;
  return found.length === expected.length ? undefined : expected.length;
}

/** IEEE 754 binary16, written from the definition. */
function float16ByDefinition(bits: number): number {
  const sign = bits >> 15 === 0 ? 1 : -1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * 2 ** -24 * fraction : sign * 2 ** (exponent - 25) * (1024 + fraction);
}

describe('float16', () => {
  it('widens every bit pattern to the value that IEEE 754 defines', () => {
    const values = bytesToFloat32(new Uint8Array(everyPattern.buffer), 'F16');
    const wrong = [...everyPattern].filter((bits) => !Object.is(values[bits], float16ByDefinition(bits)));
    expect(wrong).toEqual([]);
  });

  it('narrows each of them back to the same bits, NaN made quiet', () => {
    const back = patterns(float32ToBytes(bytesToFloat32(new Uint8Array(everyPattern.buffer), 'F16'), 'F16'));
    const expected = everyPattern.map((bits) => (Number.isNaN(float16ByDefinition(bits)) ? bits | 0x200 : bits));
    expect(firstDifference(back, expected)).toBeUndefined();
  });

  it('rounds halfway values to the even neighbour and all others to the nearer one', () => {
    const finite = [...everyPattern.subarray(0, 0x7bff)];
    const points = finite.flatMap((bits) => {
      const [low, high] = [float16ByDefinition(bits), float16ByDefinition(bits + 1)];
      return [0.25, 0.5, 0.75].map((part) => low + (high - low) * part);
    });
    const expected = finite.flatMap((bits) => [bits, bits + (bits & 1), bits + 1]);
    const found = patterns(float32ToBytes(Float32Array.from(points), 'F16'));
    expect(firstDifference(found, Uint16Array.from(expected))).toBeUndefined();
  });

  it('overflows to infinity from 65520 on, and underflows to zero up to 2^-25', () => {
    const narrowed = patterns(float32ToBytes(Float32Array.of(65519.996, 65520, -1e30, 2 ** -25, -(2 ** -26), 2 ** -24), 'F16'));
    expect([...narrowed]).toEqual([0x7bff, 0x7c00, 0xfc00, 0, 0x8000, 1]);
  });
});

describe('bfloat16', () => {
  it('is the upper half of a float32: every bit pattern survives, NaN made quiet', () => {
    const values = bytesToFloat32(new Uint8Array(everyPattern.buffer), 'BF16');
    const back = patterns(float32ToBytes(values, 'BF16'));
    const expected = everyPattern.map((bits) => ((bits & 0x7fff) > 0x7f80 ? bits | 0x40 : bits));
    expect(firstDifference(back, expected)).toBeUndefined();
  });

  it('rounds to the nearest value, ties to even', () => {
    const bits = Uint32Array.of(0x3f808000, 0x3f818000, 0x3f808001, 0x3f807fff, 0x7f7fffff, 0xff7fffff);
    expect([...patterns(float32ToBytes(new Float32Array(bits.buffer), 'BF16'))]).toEqual([0x3f80, 0x3f82, 0x3f81, 0x3f80, 0x7f80, 0xff80]);
  });
});

describe('float32', () => {
  it('keeps every bit both ways, from a view at any byte and from a Buffer', () => {
    fc.assert(
      fc.property(fc.float32Array(), fc.nat(7), (values, shift) => {
        const bytes = float32ToBytes(values, 'F32');
        const buffer = Buffer.alloc(bytes.length + shift + 3);
        buffer.set(bytes, shift);
        expect(bytesToFloat32(buffer.subarray(shift, shift + bytes.length), 'F32')).toEqual(values);
      }),
      { seed: 2 },
    );
  });
});
