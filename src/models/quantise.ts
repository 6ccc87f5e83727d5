// Block quantisation of weights, 32 or 64 values along the input dimension at a time. Pure arithmetic in float32 semantics of the kernels.

import type { BlockSize } from '../graph/index.ts';

/** Of Q4_1, whose blocks are met exactly. */
const INT4_BLOCK: BlockSize = 32;

export interface Int8Blocks {
  /** [N, K] as [N, K/size, size]. */
  readonly data: Uint8Array;
  /** [N, K/size]; w = (data - zero) * scale. */
  readonly scales: Float32Array;
  readonly zeros: Uint8Array;
}

/**
 * Eight bits a value with a scale and a zero point for every block. Each block takes the best of three grids by squared error:
 * symmetric around 128 (exact for Q8_0 sources), minimum to maximum, and one that meets the minimum exactly.
 */
export function quantiseInt8(weight: Float32Array, blockSize: BlockSize): Int8Blocks {
  const blockCount = weight.length / blockSize;
  const data = new Uint8Array(weight.length);
  const scales = new Float32Array(blockCount);
  const zeros = new Uint8Array(blockCount);
  for (let block = 0; block < blockCount; block++) {
    const values = weight.subarray(block * blockSize, (block + 1) * blockSize);
    const grid = bestGrid(values);
    scales[block] = grid.scale;
    zeros[block] = grid.zero;
    const inverse = grid.scale === 0 ? 0 : 1 / grid.scale;
    for (let index = 0; index < blockSize; index++) data[block * blockSize + index] = level(values[index] ?? 0, inverse, grid.zero);
  }
  return { data, scales, zeros };
}

interface Grid {
  readonly scale: number;
  readonly zero: number;
}

function bestGrid(block: Float32Array): Grid {
  let low = 0;
  let high = 0;
  for (const value of block) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low === 0 && high === 0) return { scale: 0, zero: 128 };
  let best: Grid = { scale: Math.fround(Math.max(-low, high) / 127), zero: 128 };
  let bestError = squaredError(block, best, Infinity);
  if (bestError === 0) return best;
  const zero = Math.min(255, Math.max(0, Math.round((-low * 255) / (high - low))));
  const meetsMinimum = Math.max(zero > 0 ? -low / zero : 0, zero < 255 ? high / (255 - zero) : 0);
  for (const scale of [(high - low) / 255, meetsMinimum]) {
    const grid = { scale: Math.fround(scale), zero };
    const error = squaredError(block, grid, bestError);
    if (error < bestError) {
      best = grid;
      bestError = error;
    }
  }
  return best;
}

/** Squared error of a block on a grid; stops early above `limit`. */
function squaredError(block: Float32Array, { scale, zero }: Grid, limit: number): number {
  const inverse = 1 / scale;
  let sum = 0;
  for (let index = 0; index < block.length && sum < limit; index++) {
    const value = block[index] ?? 0;
    const error = value - (level(value, inverse, zero) - zero) * scale;
    sum += error * error;
  }
  return sum;
}

/** Nearest level of a value, within 0 to 255. Truncation after adding a half is rounding here, because what is below 0 is cut anyway. */
function level(value: number, inverse: number, zero: number): number {
  const shifted = value * inverse + zero + 0.5;
  if (shifted < 0) return 0;
  return shifted >= 255 ? 255 : shifted | 0;
}

export interface Int4Blocks {
  /** Two values a byte, low half first: [N, K/32, 16]. */
  readonly data: Uint8Array;
  /** [N, K/32]; the kernel computes (data - 8) * scale. */
  readonly scales: Float32Array;
  /** What the kernel's fixed zero point of 8 leaves out: minimum + 8 * scale, transposed to [K/32, N]. */
  readonly minimums: Float32Array;
}

/**
 * Four bits a value with a scale and a minimum for every block: w = data * scale + minimum. Blocks that came from Q4_1 are met
 * again exactly, because llama.cpp's quantiser maps a block's minimum to 0 and its maximum to 15.
 */
export function quantiseInt4(weight: Float32Array, rows: number): Int4Blocks {
  const blockCount = weight.length / INT4_BLOCK;
  const blocksPerRow = blockCount / rows;
  const data = new Uint8Array(weight.length / 2);
  const scales = new Float32Array(blockCount);
  const minimums = new Float32Array(blockCount);
  for (let block = 0; block < blockCount; block++) {
    const start = block * INT4_BLOCK;
    let low = Infinity;
    let high = -Infinity;
    for (let index = start; index < start + INT4_BLOCK; index++) {
      const value = weight[index] ?? 0;
      if (value < low) low = value;
      if (value > high) high = value;
    }
    const scale = Math.fround((high - low) / 15);
    const inverse = scale === 0 ? 0 : 1 / scale;
    scales[block] = scale;
    minimums[(block % blocksPerRow) * rows + Math.floor(block / blocksPerRow)] = low + 8 * scale;
    for (let index = start; index < start + INT4_BLOCK; index += 2) {
      const even = Math.min(15, Math.round(((weight[index] ?? 0) - low) * inverse));
      const odd = Math.min(15, Math.round(((weight[index + 1] ?? 0) - low) * inverse));
      data[index / 2] = even | (odd << 4);
    }
  }
  return { data, scales, minimums };
}
