// Random numbers of dropout masks: one for each token of a site, one for each channel. The graph hashes their sums, so masks depend on
// (seed, micro-batch, site) and on the token's place in the micro-batch alone.
import type { Dropout } from '../ports.ts';

/** A mixer of 32 bits (Murmur3's finaliser). */
function mix(value: number): number {
  let mixed = value | 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash;
}

export function tokenNumbers({ seed, microBatch }: Dropout, site: string, tokenCount: number): Int32Array {
  const start = mix(mix(mix(seed) + microBatch) ^ hashText(site));
  const numbers = new Int32Array(new ArrayBuffer(Math.max(1, tokenCount) * 4), 0, tokenCount);
  for (let token = 0; token < tokenCount; token++) numbers[token] = mix(start + Math.imul(token + 1, 0x9e3779b1));
  return numbers;
}

export function channelNumbers(count: number): Int32Array {
  const numbers = new Int32Array(new ArrayBuffer(count * 4));
  for (let channel = 0; channel < count; channel++) numbers[channel] = mix(0x5bd1e995 + Math.imul(channel + 1, 0x9e3779b1));
  return numbers;
}

/** Hashes are uniform over signed 32-bit numbers; those up to the threshold are dropped. */
export function dropThreshold(rate: number): number {
  return Math.min(2 ** 31 - 1, Math.max(-(2 ** 31), Math.round(rate * 2 ** 32) - 2 ** 31 - 1));
}
