// A site of a validated adapter, as PEFT stores it, before it is packed.
import type { AdapterSite } from '../models/index.ts';

/** Values are row-major. For the embedding, `in` is the vocabulary and `out` the hidden size. */
export interface LoraSite {
  readonly site: AdapterSite;
  /** r, from the shape of A; above 0. */
  readonly rank: number;
  /** s: alpha / r, or alpha / sqrt(r) with rsLoRA. */
  readonly scale: number;
  /** [r, in] */
  readonly a: Float32Array;
  /** [out, r] */
  readonly b: Float32Array;
  /** DoRA: m, [out]. */
  readonly magnitude?: Float32Array;
  /** lora_bias: bias of lora_B, [out]. */
  readonly bias?: Float32Array;
}
