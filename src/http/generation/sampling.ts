// Seeds of the choices of one request, and the parameters that they share.
import type { Random } from '../../core/index.ts';
import type { SamplingParameters } from '../../engine/index.ts';

/** Everything but the seed, which differs between the choices of one request. */
export type SeedlessSampling = Omit<SamplingParameters, 'seed'>;

/** A fresh seed, unsigned 32-bit. */
export function randomSeed(random: Random): number {
  const bytes = random.bytes(4);
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0);
}

/** Any whole number a client may send as seed, taken modulo 2^32; choices of one request count up from it. */
export function choiceSeed(seed: number, choiceIndex: number): number {
  return Number(BigInt.asUintN(32, BigInt(seed) + BigInt(choiceIndex)));
}
