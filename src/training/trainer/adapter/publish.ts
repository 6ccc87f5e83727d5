// What is published of a job: one plain LoRA or DoRA adapter on the unchanged base, whatever its init was.
import type { LoraSpec } from '../../hyperparameters.ts';
import type { Products } from '../algebra/products.ts';
import { compressed } from './compress.ts';
import type { Factors, SiteValues } from './trained-site.ts';

/** Trained values with their origin (A0, B0), where the init has one. */
export interface TrainedValues extends SiteValues {
  readonly origin: Factors | null;
}

export interface PublishedAdapter {
  /** As adapter_config.json says it; target modules and init are left to the writer. */
  readonly lora: Pick<LoraSpec, 'r' | 'alpha' | 'useRslora' | 'useDora' | 'rankPattern' | 'dropout'>;
  readonly sites: readonly SiteValues[];
  /** Relative Frobenius error over all compressed places together; null: nothing was compressed. */
  readonly compressionError: number | null;
}

/**
 * Without an init that changes the base: the values as they are. With one: A' = [A; A0], B' = [B, -B0] of twice the rank, whose scale is s again (PEFT 0.21,
 * subtract_mutated_init and save_pretrained), or those products cut to `recompressRank`.
 */
export function publishedAdapter(
  lora: LoraSpec,
  trained: readonly TrainedValues[],
  recompress: { readonly rank: number; readonly products: Products } | null,
): PublishedAdapter {
  if (trained.every(({ origin }) => origin === null)) return { lora, sites: trained, compressionError: null };
  if (recompress !== null) return compressedAdapter(lora, trained, recompress);
  return {
    lora: {
      ...lora,
      r: 2 * lora.r,
      // With rsLoRA s = alpha / √r, else alpha / r.
      alpha: lora.alpha * (lora.useRslora ? Math.SQRT2 : 2),
      rankPattern: Object.fromEntries(Object.entries(lora.rankPattern).map(([key, rank]) => [key, 2 * rank])),
    },
    sites: trained.map(doubled),
    compressionError: null,
  };
}

/** A place without an origin (an embedding) is padded with zeros: one configuration holds for all. */
function doubled({ target, magnitude, a, b, origin }: TrainedValues): SiteValues {
  return {
    target: { ...target, rank: 2 * target.rank },
    magnitude,
    a: concatenated(a, origin?.a ?? new Float32Array(a.length)),
    b: columnsBeside(b, origin === null ? new Float32Array(b.length) : origin.b.map((value) => -value), target.rank),
  };
}

function compressedAdapter(
  lora: LoraSpec,
  trained: readonly TrainedValues[],
  { rank, products }: { readonly rank: number; readonly products: Products },
): PublishedAdapter {
  const totals = { error: 0, all: 0 };
  const sites = trained.map((values) => {
    const { factors, errorSquares, squares } = compressed(products, doubled(values), rank);
    totals.error += errorSquares;
    totals.all += squares;
    return { target: { ...values.target, rank, scale: 1 }, magnitude: values.magnitude, ...factors };
  });
  return {
    lora: { ...lora, r: rank, alpha: rank, useRslora: false, rankPattern: {} },
    sites,
    compressionError: totals.all === 0 ? 0 : Math.sqrt(totals.error / totals.all),
  };
}

function concatenated(above: Float32Array, below: Float32Array): Float32Array {
  const both = new Float32Array(above.length + below.length);
  both.set(above);
  both.set(below, above.length);
  return both;
}

/** [rows, 2 columns] of two arrays [rows, columns]. */
function columnsBeside(left: Float32Array, right: Float32Array, columns: number): Float32Array {
  const both = new Float32Array(left.length + right.length);
  for (let start = 0; start < left.length; start += columns) {
    both.set(left.subarray(start, start + columns), 2 * start);
    both.set(right.subarray(start, start + columns), 2 * start + columns);
  }
  return both;
}
