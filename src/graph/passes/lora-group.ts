// The contract between a graph with adapter inputs and whoever binds them.
import type { SitePart } from '../ir/graph.ts';

/**
 * Inputs of one projection, or of the embedding, for B rows (sequences) of T tokens. `parts` lie side by side in the output, out = sum of
 * their outFeatures, R = sum of their ranks, and any rank may be 0.
 *
 * y = gain * (W x) + concat_i(split(x A)_i B_i) + bias, plus the base's own bias.
 */
export interface LoraGroup {
  /** `layers.3.qkv`, `layers.3.o`, `layers.3.gate_up`, `layers.3.down`, `embed`, `head` */
  readonly id: string;
  readonly kind: 'linear' | 'head' | 'embedding';
  /** Embedding: size of the vocabulary. */
  readonly inFeatures: number;
  readonly parts: readonly SitePart[];
  /** Names of graph inputs, float32 but for `ranks`. */
  readonly inputs: {
    /** [B, inFeatures, R]; embedding: rows of A that the host gathered by token id, [B, T, R]. */
    readonly a: string;
    /** int64 [parts]: rank of each part, in order. Only where there is more than one part. */
    readonly ranks?: string;
    /** [B, rank of the part, outFeatures of the part], one a part. */
    readonly b: readonly string[];
    /** [B, 1, out], factor of the base's output; 1 where there is no DoRA. */
    readonly gain?: string;
    /** [B, 1, out]; linear and head. */
    readonly bias?: string;
  };
}
