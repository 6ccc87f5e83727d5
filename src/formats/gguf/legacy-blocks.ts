// Blocks of 32 values with one scale (and a minimum): Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 (ggml-quants.c, dequantize_row_*).
// Low nibbles hold the first 16 values of a block, high nibbles the last 16.
import { byteAt, halfAt, type BlockDecoder } from './block-decoder.ts';

const HALF_BLOCK = 16;

/** scale, 16 bytes of nibbles. value = scale * (q - 8) */
export const decodeQ40: BlockDecoder = (source, from, target, to, half) => {
  const scale = halfAt(source, from, half);
  for (let index = 0; index < HALF_BLOCK; index += 1) {
    const pair = byteAt(source, from + 2 + index);
    target[to + index] = scale * ((pair & 0xf) - 8);
    target[to + HALF_BLOCK + index] = scale * ((pair >> 4) - 8);
  }
};

/** scale, minimum, 16 bytes of nibbles. value = scale * q + minimum */
export const decodeQ41: BlockDecoder = (source, from, target, to, half) => {
  const scale = halfAt(source, from, half);
  const minimum = halfAt(source, from + 2, half);
  for (let index = 0; index < HALF_BLOCK; index += 1) {
    const pair = byteAt(source, from + 4 + index);
    target[to + index] = scale * (pair & 0xf) + minimum;
    target[to + HALF_BLOCK + index] = scale * (pair >> 4) + minimum;
  }
};

/** scale, 32 fifth bits, 16 bytes of nibbles. value = scale * (q - 16) */
export const decodeQ50: BlockDecoder = (source, from, target, to, half) => {
  const scale = halfAt(source, from, half);
  const fifthBits = uint32At(source, from + 2);
  for (let index = 0; index < HALF_BLOCK; index += 1) {
    const pair = byteAt(source, from + 6 + index);
    const low = (pair & 0xf) | (((fifthBits >>> index) & 1) << 4);
    const high = (pair >> 4) | (((fifthBits >>> (index + HALF_BLOCK)) & 1) << 4);
    target[to + index] = scale * (low - 16);
    target[to + HALF_BLOCK + index] = scale * (high - 16);
  }
};

/** scale, minimum, 32 fifth bits, 16 bytes of nibbles. value = scale * q + minimum */
export const decodeQ51: BlockDecoder = (source, from, target, to, half) => {
  const scale = halfAt(source, from, half);
  const minimum = halfAt(source, from + 2, half);
  const fifthBits = uint32At(source, from + 4);
  for (let index = 0; index < HALF_BLOCK; index += 1) {
    const pair = byteAt(source, from + 8 + index);
    const low = (pair & 0xf) | (((fifthBits >>> index) & 1) << 4);
    const high = (pair >> 4) | (((fifthBits >>> (index + HALF_BLOCK)) & 1) << 4);
    target[to + index] = scale * low + minimum;
    target[to + HALF_BLOCK + index] = scale * high + minimum;
  }
};

/** scale, 32 signed bytes. value = scale * q */
export const decodeQ80: BlockDecoder = (source, from, target, to, half) => {
  const scale = halfAt(source, from, half);
  for (let index = 0; index < 2 * HALF_BLOCK; index += 1) {
    const signed = (byteAt(source, from + 2 + index) << 24) >> 24;
    target[to + index] = scale * signed;
  }
};

function uint32At(source: Uint8Array, index: number): number {
  return byteAt(source, index) | (byteAt(source, index + 1) << 8) | (byteAt(source, index + 2) << 16) | (byteAt(source, index + 3) << 24);
}
