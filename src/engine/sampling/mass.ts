// Shared by the filters that keep part of a distribution. Weights are unnormalised probabilities; a removed token weighs 0.
import { selectTop } from './select.ts';

/** Nearly every nucleus is smaller; only a flat distribution needs the full order. */
const USUAL_PREFIX = 256;

export function totalWeight(weights: Float64Array): number {
  let total = 0;
  for (let id = 0; id < weights.length; id += 1) total += weights[id] as number;
  return total;
}

/** Sets every weight but those of `ids` to 0. */
export function keepOnly(weights: Float64Array, ids: Uint32Array): void {
  const kept = Float64Array.from(ids, (id) => weights[id] as number);
  weights.fill(0);
  ids.forEach((id, rank) => {
    weights[id] = kept[rank] as number;
  });
}

/**
 * Top-p, nucleus sampling (Holtzman et al. 2019), for any order of preference.
 * Keeps the shortest best-first prefix (by `scores`, ties by lower id) that weighs at least `fraction` of the total; at least one token.
 * Tokens of weight 0 must score below the others or -Infinity.
 */
export function keepBestMass(scores: Float32Array, weights: Float64Array, fraction: number): void {
  const target = fraction * totalWeight(weights);
  for (const count of [USUAL_PREFIX, scores.length]) {
    const ids = selectTop(scores, count);
    const length = prefixLength(ids, weights, target);
    if (length === null) continue;
    keepOnly(weights, ids.subarray(0, length));
    return;
  }
}

/** Length of the shortest prefix that weighs `target`, null when all of them together weigh less. */
function prefixLength(ids: Uint32Array, weights: Float64Array, target: number): number | null {
  let mass = 0;
  for (let rank = 0; rank < ids.length; rank += 1) {
    mass += weights[ids[rank] as number] as number;
    if (mass >= target) return rank + 1;
  }
  return null;
}
