// Philox 2x32-10, a counter-based generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
// A draw depends only on seed and counter: not on batches, the order of steps or preemption, nor on what ran before a resume.

const MULTIPLIER = 0xd256d193;
const WEYL = 0x9e3779b9;
const ROUNDS = 10;

/** Two 32-bit words for a 64-bit counter (low, high) and a 32-bit key. */
export function philox2x32(counterLow: number, counterHigh: number, key: number): readonly [number, number] {
  let left = counterLow >>> 0;
  let right = counterHigh >>> 0;
  let roundKey = key >>> 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const high = multiplyHigh(MULTIPLIER, left);
    const low = Math.imul(MULTIPLIER, left) >>> 0;
    left = (high ^ roundKey ^ right) >>> 0;
    right = low;
    roundKey = (roundKey + WEYL) >>> 0;
  }
  return [left, right];
}

/** Uniform in [0, 1) with 53 bits, for draw number `counter` of whoever has this seed (unsigned 32-bit). */
export function uniform(seed: number, counter: number): number {
  const [left, right] = philox2x32(counter, 0, seed);
  return ((left >>> 5) * 0x4000000 + (right >>> 6)) / 0x20000000000000;
}

/** Upper 32 bits of the product of two unsigned 32-bit integers. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = aLow * bHigh + (middle & 0xffff);
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(carry / 0x10000)) >>> 0;
}
