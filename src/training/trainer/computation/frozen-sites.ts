// What a trained site needs of the base besides its graph: squared row norms for DoRA, from the original weights.
import type { ModelPackage } from '../../../models/index.ts';
import type { TrainedSite } from '../ports.ts';
import type { FrozenSite } from './site-tensors.ts';

/** @throws Error when a site is none of the base's. */
export async function frozenSites(model: ModelPackage, sites: readonly TrainedSite[]): Promise<ReadonlyMap<string, FrozenSite>> {
  const frozen = new Map<string, FrozenSite>();
  for (const site of sites) {
    const known = model.description.sites.find(({ id }) => id === site.site);
    if (!known) throw new Error(`${model.description.id} has no site ${site.site}`);
    const squares = site.dora
      ? squaredNorms(await model.weights.readWeight(known.module), known.outFeatures, known.kind === 'embedding')
      : null;
    frozen.set(site.site, { site, squares });
  }
  return frozen;
}

/** Of the rows of [out, in]; of an embedding [vocabulary, out], its columns. */
function squaredNorms(weight: Float32Array, outFeatures: number, ofColumns: boolean): Float32Array {
  const squares = new Float64Array(outFeatures);
  const inFeatures = weight.length / outFeatures;
  for (let index = 0; index < weight.length; index++) {
    const value = weight[index] ?? 0;
    const place = ofColumns ? index % outFeatures : Math.floor(index / inFeatures);
    squares[place] = (squares[place] ?? 0) + value * value;
  }
  return Float32Array.from(squares);
}
