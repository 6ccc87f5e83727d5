// Picks a token by its weight.
import { totalWeight } from './mass.ts';

/** Inverse transform sampling in id order; `uniform` in [0, 1). Some weight must be above 0. */
export function draw(weights: Float64Array, uniform: number): number {
  const target = uniform * totalWeight(weights);
  let mass = 0;
  let last = -1;
  for (let id = 0; id < weights.length; id += 1) {
    const weight = weights[id] as number;
    if (weight === 0) continue;
    last = id;
    mass += weight;
    if (mass > target) return id;
  }
  return last;
}
