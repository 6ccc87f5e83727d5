// The contract between a graph with adapter inputs and whoever binds them.
import type { ProjectionSite, SitePart } from '../ir/graph.ts';
import type { RotationSize, WeightRecipe } from '../ir/recipe.ts';

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
    /** [B, inFeatures, R]; embedding: rows of A that the host gathered by token id, [B, T, R]. With `scales` int8: the levels of A. */
    readonly a: string;
    /** [B, 1, R]: the scale of each column's levels. Where there is none, A is float32. */
    readonly scales?: string;
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

/** How a group's A becomes levels: (A * smoothing) turned, then a scale for each column. `side-levels.ts` has the graph that does it. */
export interface SideLevels {
  /** Id of the group. */
  readonly id: string;
  readonly inFeatures: number;
  /** Name of the graph input with the scales of its columns. */
  readonly scales: string;
  /** A factor for each input channel, [inFeatures]; null: none. */
  readonly smoothing: WeightRecipe | null;
  readonly rotation: RotationSize | null;
}

/** A projection that was not fused goes by its one site. */
export function loraGroupId({ group, parts: [first, ...others] }: ProjectionSite): string {
  return first && others.length === 0 ? first.site : group;
}

export function loraInput(groupId: string, name: 'a' | 'scales' | 'ranks' | 'gain' | 'bias'): string {
  return `lora.${groupId}.${name}`;
}
