// Block decoding by hand-made blocks (gguf-py's values are checked in file.test.ts), sizes, and random bytes.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FormatError } from '../format-error.ts';
import { dequantize, DEQUANTIZABLE_TYPES } from './dequantize.ts';
import { ggmlTypeNamed } from './ggml-types.ts';

const ONE = [0x00, 0x3c];
const TWO = [0x00, 0x40];

describe('dequantize', () => {
  it('puts low nibbles in the first half of a block and high nibbles in the second', () => {
    const nibbles = Array.from({ length: 16 }, (_, index) => index | ((15 - index) << 4));
    const expected = Array.from({ length: 32 }, (_, index) => (index < 16 ? index : 31 - index));
    expect([...dequantize('Q4_1', Uint8Array.from([...TWO, ...ONE, ...nibbles]), 32)]).toEqual(expected.map((quant) => 2 * quant + 1));
    expect([...dequantize('Q4_0', Uint8Array.from([...TWO, ...nibbles]), 32)]).toEqual(expected.map((quant) => 2 * (quant - 8)));
  });

  it('takes the fifth bit of value i from bit i', () => {
    const nibbles = Array.from({ length: 16 }, () => 0);
    const values = dequantize('Q5_1', Uint8Array.from([...ONE, 0, 0, 0b101, 0, 0, 0x80, ...nibbles]), 32);
    expect([...values.entries()].filter(([, value]) => value !== 0)).toEqual([
      [0, 16],
      [2, 16],
      [31, 16],
    ]);
  });

  it('reads from a view at any byte', () => {
    const block = Uint8Array.from([...ONE, ...Array.from({ length: 32 }, (_, index) => index - 16)]);
    const shifted = new Uint8Array(block.length + 1);
    shifted.set(block, 1);
    expect(dequantize('Q8_0', shifted.subarray(1), 32)).toEqual(Float32Array.from({ length: 32 }, (_, index) => index - 16));
  });

  it('gives as many values as asked for any bytes of any type, and refuses other sizes', () => {
    const cases = fc.constantFrom(...DEQUANTIZABLE_TYPES).chain((type) => {
      const { blockValues, blockBytes } = ggmlTypeNamed(type) ?? { blockValues: 0, blockBytes: 0 };
      const blocks = fc.nat(3);
      return blocks.chain((count) =>
        fc.record({
          type: fc.constant(type),
          valueCount: fc.constant(count * blockValues),
          bytes: fc.uint8Array({ minLength: count * blockBytes, maxLength: count * blockBytes }),
        }),
      );
    });
    fc.assert(
      fc.property(cases, ({ type, valueCount, bytes }) => {
        expect(dequantize(type, bytes, valueCount).length).toBe(valueCount);
        expect(() => dequantize(type, new Uint8Array(bytes.length + 1), valueCount)).toThrow(FormatError);
        expect(() => dequantize(type, bytes, valueCount + 1)).toThrow(FormatError);
      }),
      { seed: 1 },
    );
  });

  it('names a type that it cannot read, and what it can', () => {
    expect(() => dequantize('IQ4_XS', new Uint8Array(136), 256)).toThrow(/IQ4_XS is not supported; expected one of F32, F16, BF16, Q4_0/);
    expect(() => dequantize('toString', new Uint8Array(0), 0)).toThrow(FormatError);
  });
});
