// Which values DARE keeps: a mask that depends on its seed text alone, so that a mix has the same result today, tomorrow and on another server.
import { createHash } from 'node:crypto';

/**
 * One 0 or 1 for each value; 1 where a draw from [0, 1) is below `density`. Draws are xoshiro128** (Blackman and Vigna, 2018), its state the first
 * 16 bytes of SHA-256 over the seed's UTF-8 text, read as four little-endian words.
 */
export function keepMask(seed: string, length: number, density: number): Uint8Array {
  const hash = createHash('sha256').update(seed).digest();
  let [s0, s1, s2, s3] = [hash.readInt32LE(0), hash.readInt32LE(4), hash.readInt32LE(8), hash.readInt32LE(12)];
  const bound = density * 2 ** 32;
  const mask = new Uint8Array(length);
  for (let index = 0; index < length; index += 1) {
    const scrambled = Math.imul(rotated(Math.imul(s1, 5), 7), 9) >>> 0;
    if (scrambled < bound) mask[index] = 1;
    const shifted = s1 << 9;
    s2 ^= s0;
    s3 ^= s1;
    s1 ^= s2;
    s0 ^= s3;
    s2 ^= shifted;
    s3 = rotated(s3, 11);
  }
  return mask;
}

function rotated(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}
