// An adapter of a given rank on every linear of a base, with small seeded values: its speed is real, its text means nothing.
import { decodePacked, encodePacked, type PackedAdapter } from '../../../src/adapters/packed.ts';
import type { BaseModelDescription } from '../../../src/models/index.ts';

export function randomAdapter(base: BaseModelDescription, rank: number, seed: number): PackedAdapter {
  const random = uniform(seed);
  const sites = base.sites
    .filter(({ kind }) => kind === 'linear')
    .map(({ id, inFeatures, outFeatures }) => ({
      site: id,
      rank,
      a: random(inFeatures * rank, 1 / Math.sqrt(inFeatures)),
      b: random(rank * outFeatures, 0.01),
    }));
  return decodePacked(encodePacked(base.digest, sites));
}

/** Values in (-scale, scale) from a linear congruential generator (Numerical Recipes' constants). */
function uniform(seed: number): (count: number, scale: number) => Float32Array {
  let state = (seed + 1) * 2_654_435_761;
  return (count, scale) =>
    Float32Array.from({ length: count }, () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return (state / 2 ** 31 - 1) * scale;
    });
}
