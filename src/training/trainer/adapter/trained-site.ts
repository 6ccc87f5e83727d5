// The values of one trained place, in PEFT's layout. What initialisers make, checkpoints keep and publishing writes.
import type { TargetSite } from '../sites.ts';

export interface Factors {
  /** Linear [rank, in]; embedding [rank, vocabulary]. */
  readonly a: Float32Array;
  /** Linear [out, rank]; embedding [hidden, rank]. */
  readonly b: Float32Array;
}

export interface SiteValues extends Factors {
  readonly target: TargetSite;
  /** DoRA's m [out]; null: plain LoRA. */
  readonly magnitude: Float32Array | null;
}

/** Factors as training begins. `changesBase`: they stand for no change yet, so training subtracts them as (A0, B0). */
export interface InitialValues extends SiteValues {
  readonly changesBase: boolean;
}
