// Picks a token by its weight.
import { totalWeight } from './mass.ts';

/** Inverse transform sampling in id order; `total` is the sum of the weights, above 0, and `uniform` in [0, 1). */
export function draw(weights: Float32Array, total: number, uniform: number): number {
  const target = uniform * total;
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

/** The same among some tokens: `ids` in ascending order. */
export function drawAmong(weights: Float32Array, ids: Uint32Array, uniform: number): number {
  const among = Float32Array.from(ids, (id) => weights[id] as number);
  return ids[draw(among, totalWeight(among), uniform)] ?? -1;
}
