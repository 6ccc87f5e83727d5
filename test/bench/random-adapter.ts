// An adapter of a given rank on every linear of a base, with small seeded values: its speed is real, its text means nothing.
import { decodePacked, encodePacked, type PackedAdapter } from '../../src/adapters/packed.ts';
import type { BaseModelDescription } from '../../src/models/index.ts';
import { uniform } from './uniform.ts';

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
