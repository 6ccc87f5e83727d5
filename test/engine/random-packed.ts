// Packed adapters of random values and ranks.
import { decodePacked, encodePacked, type PackedAdapter, type PackedSiteContent } from '../../src/adapters/packed.ts';
import type { ModelPackage } from '../../src/models/index.ts';

/** Numbers in [0, 1), the same for a seed. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Of ranks 1 to 11, on these linears of every layer; with extras also gains, biases, embedding and head. */
export function randomAdapter(
  base: ModelPackage,
  seed: number,
  features: { readonly linears: readonly string[]; readonly extras: boolean },
): PackedAdapter {
  const random = seeded(seed);
  const values = (length: number, size: number): Float32Array => Float32Array.from({ length }, () => (random() - 0.5) * size);
  const sites = base.description.sites.filter(({ id, kind }) =>
    kind === 'linear' ? features.linears.includes(id.split('.')[2] ?? '') : features.extras,
  );
  const contents = sites.map(({ id, kind, inFeatures, outFeatures }): PackedSiteContent => {
    const rank = 1 + Math.floor(random() * 11);
    const extras = features.extras
      ? { gain: values(outFeatures, 1).map((value) => value + 1), ...(kind !== 'embedding' && { bias: values(outFeatures, 0.2) }) }
      : {};
    return { site: id, rank, a: values(inFeatures * rank, 0.5), b: values(rank * outFeatures, 0.5), ...extras };
  });
  return decodePacked(encodePacked(base.description.digest, contents));
}
