// How many layers compute their values again in the backward pass, so that what is kept fits into the budget of bytes.
import { type KeptValue, valueBytes } from '../../../graph/index.ts';
import type { Batch } from './batch.ts';
import { layerOf } from './training-graph.ts';

/** Shares of the layers: a session is made for each that is needed. */
const SHARES = [0, 0.25, 0.5, 0.75, 1];

export interface MemoryPlanOptions {
  readonly kept: readonly KeptValue[];
  readonly layerCount: number;
  readonly headCount: number;
  readonly kvHeadCount: number;
  readonly hiddenSize: number;
  readonly budgetBytes: number;
}

/** The fewest layers with which the values that are kept fit; all of them when nothing fits. */
export function recomputedLayersFor(batch: Batch, options: MemoryPlanOptions): number {
  const { layerCount, budgetBytes } = options;
  const counts = SHARES.map((share) => Math.round(share * layerCount));
  return counts.find((count) => keptBytes(batch, options, count) <= budgetBytes) ?? layerCount;
}

/** A layer that is computed again keeps its input, and for a while all values of one such layer are there. */
export function keptBytes(batch: Batch, { kept, headCount, kvHeadCount, hiddenSize }: MemoryPlanOptions, recomputedLayers: number): number {
  const sizes = new Map([
    ['tokens', batch.tokenCount],
    ['rows', batch.rowCount],
    ['length', batch.length],
    ['supervised', batch.supervisedCount],
    [`tokens*${headCount}`, batch.tokenCount * headCount],
    [`tokens*${kvHeadCount}`, batch.tokenCount * kvHeadCount],
    ['queries*length', (headCount / kvHeadCount) * batch.length],
  ]);
  let bytes = 0;
  const layers = new Map<number, number>();
  for (const { value, producer } of kept) {
    const layer = layerOf(producer.name);
    const size = valueBytes(value, sizes);
    if (layer < recomputedLayers) layers.set(layer, (layers.get(layer) ?? 0) + size);
    else bytes += size;
  }
  const input = 4 * batch.tokenCount * hiddenSize;
  return bytes + recomputedLayers * input + Math.max(0, ...layers.values());
}
