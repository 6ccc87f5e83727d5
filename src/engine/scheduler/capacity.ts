// Capacity buckets of KV rows: how many positions a row may be given. Pure arithmetic.
// Few sizes, so that many rows share one capacity and can share a decode call.

const GROWTH_FACTOR = 4;
/** A new row gets room for this part of the smallest bucket beyond its tokens, so that it does not grow at once. */
const HEADROOM_PART = 1 / 8;

/** Ascending capacities `smallest` (512), times 4 (2048), times 16 (8192), … below `maxContext`, then `maxContext` itself. */
export function capacityBuckets(smallest: number, maxContext: number): readonly number[] {
  const buckets: number[] = [];
  for (let capacity = smallest; capacity < maxContext; capacity *= GROWTH_FACTOR) buckets.push(capacity);
  return [...buckets, maxContext];
}

/** The smallest bucket of at least `positions`; the largest one when there is none. */
export function bucketFor(buckets: readonly number[], positions: number): number {
  const bucket = buckets.find((capacity) => capacity >= positions) ?? buckets.at(-1);
  if (bucket === undefined) throw new Error('capacity buckets are empty');
  return bucket;
}

/** The bucket for a joining row: room for its tokens and a little of what it may still produce. */
export function initialCapacity(buckets: readonly number[], tokenCount: number, remainingNewTokens: number): number {
  const headroom = Math.floor((buckets[0] ?? 0) * HEADROOM_PART);
  return bucketFor(buckets, tokenCount + Math.min(remainingNewTokens, headroom));
}
