// What compiling a base at one precision leaves on disk, as data: the executor's and the trainer's view. Paths are absolute once opened.
import type { WeightEntry } from '../runtime/index.ts';

/** none: base only. linear: plain LoRA on the layers' linears. full: also gains, biases, embedding and head. */
export type GraphProfile = 'none' | 'linear' | 'full';
export const GRAPH_PROFILES: readonly GraphProfile[] = ['none', 'linear', 'full'];

/** Profiles with graphs for every kind of call; `full` has those for any rows alone. */
export type CommonProfile = Exclude<GraphProfile, 'full'>;
export const COMMON_PROFILES: readonly CommonProfile[] = ['none', 'linear'];

/** w8a8: int8, with the projections that bear it multiplied in integers, a scale a row of activations. */
export type Precision = 'fp32' | 'int8' | 'int4' | 'w8a8';

/** Of keys and values in the cache. */
export type KvPrecision = 'fp32' | 'int8';
export const KV_PRECISIONS: readonly KvPrecision[] = ['fp32', 'int8'];

/** Scales of a layer's int8 cache: value = int8 * scale, by kv head and channel [kvHeads * headSize]. */
export interface KvScales {
  readonly key: Float32Array;
  readonly value: Float32Array;
}

/** A base matmul (or the embedding) with its adapter inputs; `parts` are the sites that share it, in column order. */
export interface LoraInputGroup {
  readonly id: string;
  readonly kind: 'linear' | 'head' | 'embedding';
  readonly inFeatures: number;
  readonly parts: readonly { readonly site: string; readonly outFeatures: number }[];
  readonly inputs: {
    /** [rows, inFeatures, sum of ranks]; embedding: [rows, tokens, rank], gathered by the host. With `scales` int8, else float32. */
    readonly a: string;
    /** [rows, 1, sum of ranks]: of each column of A. `sideLevels` of the model makes both. */
    readonly scales?: string;
    /** int64 [parts]; only where there is more than one part. */
    readonly ranks?: string;
    /** [rows, rank of the part, outFeatures of the part] each. */
    readonly b: readonly string[];
    /** [rows, 1, sum of outFeatures]. */
    readonly gain?: string;
    readonly bias?: string;
  };
}

export interface CompiledGraph {
  readonly path: string;
  /** Initializers that come from the shared weights. */
  readonly weightNames: readonly string[];
  readonly loraGroups: readonly LoraInputGroup[];
}

/**
 * Makes int8 A from the float32 A of an adapter, of sites of one rank at once. For each stack: inputs `<name>.a` float32 [n, inFeatures / blockSize, blockSize, rank]
 * and `<name>.ids` int64 [n], places of these in `sites`; outputs `<name>.levels` int8 of the same shape, `<name>.scales` float32 [n, 1, 1, rank]. n is at least 1.
 */
export interface SideLevelsGraph extends Pick<CompiledGraph, 'path' | 'weightNames'> {
  readonly stacks: readonly LevelStack[];
  /** Of the inputs that take levels. */
  readonly groupIds: readonly string[];
}

export interface LevelStack {
  readonly name: string;
  readonly inFeatures: number;
  readonly blockSize: number;
  readonly sites: readonly string[];
}

export interface CompiledModel {
  readonly precision: Precision;
  readonly shape: {
    readonly layerCount: number;
    readonly kvHeadCount: number;
    readonly headSize: number;
    readonly vocabularySize: number;
    readonly maxContext: number;
  };
  readonly weightsPath: string;
  readonly weights: readonly WeightEntry[];
  readonly graphs: Readonly<Record<GraphProfile, CompiledGraph>>;
  /** For mixed calls: consecutive tokens of one row, and one token each of others. `loraGroups` name the inputs of the chunk; those of the rows are called the same behind `ofRows`. */
  readonly mixedGraphs: Readonly<Record<CommonProfile, CompiledGraph>>;
  /** For one token of one row, whose logits are wanted; null: those of `graphs` are as good. */
  readonly tokenGraphs: Readonly<Record<CommonProfile, CompiledGraph>> | null;
  /** null: all adapter inputs are float32. */
  readonly sideLevels: SideLevelsGraph | null;
  /** By layer, where the graphs cache keys and values as int8; null: as float32. */
  readonly kvScales: readonly KvScales[] | null;
}
