// top-k (Fan et al. 2018): keeps the k best tokens.
import { keepOnly } from './mass.ts';
import { selectTop } from './select.ts';

/** In place, k at least 1. Equal scores: the lower id stays. Answers the ids that are left, ascending; null: all. */
export function keepTopK(scores: Float32Array, weights: Float32Array, k: number): Uint32Array | null {
  return k >= scores.length ? null : keepOnly(weights, selectTop(scores, k));
}
