// Super-blocks of 256 values: Q4_K, Q5_K (8 sub-blocks of 32 with 6-bit scales and minima) and Q6_K (16 sub-blocks of 16 with 8-bit scales).
// Layouts as in ggml-common.h, arithmetic as in ggml-quants.c (dequantize_row_q4_K, _q5_K, _q6_K).
import { byteAt, halfAt, type BlockDecoder } from './block-decoder.ts';

const SUB_BLOCK = 32;
const SUB_BLOCK_COUNT = 8;

/** 6-bit scale of a sub-block; `packed` is where the 12 bytes of scales and minima begin. */
function scaleOf(source: Uint8Array, packed: number, subBlock: number): number {
  if (subBlock < 4) return byteAt(source, packed + subBlock) & 63;
  return (byteAt(source, packed + subBlock + 4) & 0xf) | ((byteAt(source, packed + subBlock - 4) >> 6) << 4);
}

/** 6-bit minimum of a sub-block. */
function minimumOf(source: Uint8Array, packed: number, subBlock: number): number {
  if (subBlock < 4) return byteAt(source, packed + subBlock + 4) & 63;
  return (byteAt(source, packed + subBlock + 4) >> 4) | ((byteAt(source, packed + subBlock) >> 6) << 4);
}

/** scale, minimum scale, 12 packed bytes, 128 bytes of nibbles. value = scale * s * q - minimumScale * m */
export const decodeQ4K: BlockDecoder = (source, from, target, to, half) => {
  const packed = from + 4;
  const nibbles = from + 16;
  for (let subBlock = 0; subBlock < SUB_BLOCK_COUNT; subBlock += 1) {
    const scale = halfAt(source, from, half) * scaleOf(source, packed, subBlock);
    const minimum = halfAt(source, from + 2, half) * minimumOf(source, packed, subBlock);
    // Two neighbouring sub-blocks share 32 bytes: the even one has the low nibbles.
    const shift = (subBlock & 1) * 4;
    const first = nibbles + (subBlock >> 1) * SUB_BLOCK;
    for (let index = 0; index < SUB_BLOCK; index += 1) {
      const quant = (byteAt(source, first + index) >> shift) & 0xf;
      target[to + subBlock * SUB_BLOCK + index] = scale * quant - minimum;
    }
  }
};

/** As Q4_K with 32 bytes of fifth bits before the nibbles: bit b of byte i belongs to value i of sub-block b. */
export const decodeQ5K: BlockDecoder = (source, from, target, to, half) => {
  const packed = from + 4;
  const fifthBits = from + 16;
  const nibbles = from + 48;
  for (let subBlock = 0; subBlock < SUB_BLOCK_COUNT; subBlock += 1) {
    const scale = halfAt(source, from, half) * scaleOf(source, packed, subBlock);
    const minimum = halfAt(source, from + 2, half) * minimumOf(source, packed, subBlock);
    const shift = (subBlock & 1) * 4;
    const first = nibbles + (subBlock >> 1) * SUB_BLOCK;
    for (let index = 0; index < SUB_BLOCK; index += 1) {
      const fifth = (byteAt(source, fifthBits + index) >> subBlock) & 1;
      const quant = ((byteAt(source, first + index) >> shift) & 0xf) | (fifth << 4);
      target[to + subBlock * SUB_BLOCK + index] = scale * quant - minimum;
    }
  }
};

/**
 * 128 bytes of low nibbles, 64 bytes of upper bit pairs, 16 signed scales, scale. value = scale * s * (q - 32)
 * Each half of 128 values is four runs of 32; run r takes bit pair r of the half's 32 upper bytes.
 */
export const decodeQ6K: BlockDecoder = (source, from, target, to, half) => {
  const upper = from + 128;
  const scales = from + 192;
  const superScale = halfAt(source, from + 208, half);
  for (let run = 0; run < 8; run += 1) {
    const halfIndex = run >> 2;
    const runInHalf = run & 3;
    const low = from + halfIndex * 64 + (runInHalf & 1) * 32;
    const lowShift = (runInHalf >> 1) * 4;
    for (let index = 0; index < 32; index += 1) {
      const subScale = (byteAt(source, scales + run * 2 + (index >> 4)) << 24) >> 24;
      const pair = (byteAt(source, upper + halfIndex * 32 + index) >> (runInHalf * 2)) & 3;
      const quant = ((byteAt(source, low + index) >> lowShift) & 0xf) | (pair << 4);
      target[to + run * 32 + index] = superScale * subScale * (quant - 32);
    }
  }
};
