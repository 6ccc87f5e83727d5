// Shared by the filters that keep part of a distribution. Weights are unnormalised probabilities; a removed token weighs 0.
import { selectTop } from './select.ts';

/** Nearly every nucleus is smaller; only a flat distribution needs the full order. */
const USUAL_PREFIX = 256;

/** The smallest normal float32: below it lie tokens that were taken out before, however their exponential was rounded. */
const LEAST_WEIGHT = 2 ** -126;

/** Sum of fresh weights. Those that are no numbers become 0, and where tokens were taken out by -Infinity, those of these tokens. */
export function settledTotal(weights: Float32Array, hasTakenOut: boolean): number {
  const total = totalWeight(weights);
  if (!hasTakenOut && !Number.isNaN(total)) return total;
  for (let id = 0; id < weights.length; id += 1) if (!((weights[id] as number) >= LEAST_WEIGHT)) weights[id] = 0;
  return totalWeight(weights);
}

/** Four sums at a time: one waits for the addition before it, and takes twice as long. */
export function totalWeight(weights: Float32Array): number {
  let first = 0;
  let second = 0;
  let third = 0;
  let fourth = 0;
  let id = 0;
  for (; id + 4 <= weights.length; id += 4) {
    first += weights[id] as number;
    second += weights[id + 1] as number;
    third += weights[id + 2] as number;
    fourth += weights[id + 3] as number;
  }
  for (; id < weights.length; id += 1) first += weights[id] as number;
  return first + second + third + fourth;
}

/** Sets every weight but those of `ids` to 0, and answers the ids in ascending order: what a draw has to look at. */
export function keepOnly(weights: Float32Array, ids: Uint32Array): Uint32Array {
  const kept = Float32Array.from(ids, (id) => weights[id] as number);
  weights.fill(0);
  ids.forEach((id, rank) => {
    weights[id] = kept[rank] as number;
  });
  return ids.toSorted();
}

/**
 * Top-p, nucleus sampling (Holtzman et al. 2019), for any order of preference.
 * Keeps the shortest best-first prefix (by `scores`, ties by lower id) that weighs at least `target`; at least one token. Answers the ids that
 * are left, ascending; null: all. Tokens of weight 0 must score below the others or -Infinity.
 */
export function keepBestMass(scores: Float32Array, weights: Float32Array, target: number): Uint32Array | null {
  for (const count of [USUAL_PREFIX, scores.length]) {
    const ids = selectTop(scores, count);
    const length = prefixLength(ids, weights, target);
    if (length !== null) return keepOnly(weights, ids.subarray(0, length));
  }
  return null;
}

/** Length of the shortest prefix that weighs `target`, null when all of them together weigh less. */
function prefixLength(ids: Uint32Array, weights: Float32Array, target: number): number | null {
  let mass = 0;
  for (let rank = 0; rank < ids.length; rank += 1) {
    mass += weights[ids[rank] as number] as number;
    if (mass >= target) return rank + 1;
  }
  return null;
}
