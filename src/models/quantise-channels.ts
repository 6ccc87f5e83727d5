// Quantisation of weights with one scale an output channel, for products in integers. Pure arithmetic.
import type { RowLevels } from '../graph/index.ts';

export interface Int8Channels {
  /** [K, N]: the weight with its axes exchanged; w[n, k] = (data[k, n] - zeros[n]) * scales[n]. */
  readonly data: Int8Array;
  /** [N] */
  readonly scales: Float32Array;
  /** [N]; all 0 where levels are paired. */
  readonly zeros: Int8Array;
}

const LARGEST_LEVEL = 127;
const LEVEL_COUNT = 256;

/**
 * Kernels without VNNI (x86's vpmaddubsw) add two neighbouring products of a uint8 and an int8 in 16 bits that saturate: 255 * 128 is the
 * most that fits, so the levels of a pair with one sign add up to no more.
 */
const LARGEST_PAIR = 128;

/** Steps that are tried, as multiples of the one that just reaches the largest value; above 1 there is room for pairs of large values. */
const STEPS: readonly number[] = [1.75, 1.6, 1.5, 1.4, 1.3, 1.2, 1.1, 1];

/**
 * `weight` is [N, K] with `channelCount` N. Full levels reach from a channel's least value to its largest; of paired ones each channel takes the
 * step with the least squared error, its scale fitted to the levels.
 */
export function quantiseChannels(weight: Float32Array, channelCount: number, kind: RowLevels): Int8Channels {
  const width = weight.length / channelCount;
  const data = new Int8Array(weight.length);
  const scales = new Float32Array(channelCount);
  const zeros = new Int8Array(channelCount);
  const levels = new Int8Array(width);
  for (let channel = 0; channel < channelCount; channel++) {
    const values = weight.subarray(channel * width, (channel + 1) * width);
    const { scale, zero } = kind === 'full' ? fillRange(values, levels) : fillPairs(values, levels);
    scales[channel] = scale;
    zeros[channel] = zero;
    for (let index = 0; index < width; index++) data[index * channelCount + channel] = levels[index] ?? 0;
  }
  return { data, scales, zeros };
}

interface Grid {
  readonly scale: number;
  readonly zero: number;
}

/** 256 levels from the least value (or 0) to the largest (or 0); 0 is a level. */
function fillRange(values: Float32Array, levels: Int8Array): Grid {
  let [low, high] = [0, 0];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const scale = Math.fround((high - low) / (LEVEL_COUNT - 1));
  const inverse = scale === 0 ? 0 : 1 / scale;
  const zero = Math.round(-low * inverse) - LEVEL_COUNT / 2;
  for (let index = 0; index < levels.length; index++) {
    const level = Math.round((values[index] ?? 0) * inverse) + zero;
    levels[index] = Math.max(-LEVEL_COUNT / 2, Math.min(LARGEST_LEVEL, level));
  }
  return { scale, zero };
}

function fillPairs(values: Float32Array, levels: Int8Array): Grid {
  const { step, scale } = bestFit(values, levels);
  fillLevels(values, step, levels);
  return { scale, zero: 0 };
}

interface Fit {
  /** With which values are rounded to levels; 0 makes all levels 0. */
  readonly step: number;
  /** With which levels become values again: minimises the squared error for those levels. */
  readonly scale: number;
}

/** `levels` is room to work in. */
function bestFit(values: Float32Array, levels: Int8Array): Fit {
  let largest = 0;
  for (const value of values) largest = Math.max(largest, Math.abs(value));
  let best: Fit = { step: 0, scale: 0 };
  let mostExplained = 0;
  for (const multiple of largest > 0 ? STEPS : []) {
    const step = (largest * multiple) / LARGEST_LEVEL;
    fillLevels(values, step, levels);
    let cross = 0;
    let energy = 0;
    for (let index = 0; index < levels.length; index++) {
      const level = levels[index] ?? 0;
      cross += level * (values[index] ?? 0);
      energy += level * level;
    }
    // The squared error is the sum of squares less cross² / energy.
    const explained = (cross * cross) / energy;
    if (explained <= mostExplained) continue;
    mostExplained = explained;
    best = { step, scale: cross / energy };
  }
  return best;
}

function fillLevels(values: Float32Array, step: number, levels: Int8Array): void {
  const inverse = step === 0 ? 0 : 1 / step;
  for (let index = 0; index < levels.length; index++) {
    const level = Math.round((values[index] ?? 0) * inverse);
    levels[index] = Math.max(-LARGEST_LEVEL, Math.min(LARGEST_LEVEL, level));
  }
  for (let index = 0; index + 1 < levels.length; index += 2) shortenPair(levels, index);
}

/** Takes what a pair has too much from both alike. */
function shortenPair(levels: Int8Array, index: number): void {
  const [first = 0, second = 0] = [levels[index], levels[index + 1]];
  const excess = Math.abs(first + second) - LARGEST_PAIR;
  if (first * second <= 0 || excess <= 0) return;
  const half = Math.min(Math.ceil(excess / 2), Math.abs(first));
  levels[index] = first - Math.sign(first) * half;
  levels[index + 1] = second - Math.sign(second) * (excess - half);
}
