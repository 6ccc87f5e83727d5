// What other rooms know of a base model: its shape and the places that adapters may change. No weights, no sessions.
import type { Digest } from '../core/index.ts';

export type SiteKind = 'linear' | 'embedding' | 'head';

/** A weight that an adapter may change, named as Hugging Face names its module. */
export interface AdapterSite {
  /** Site id used by graphs and packed adapters: `layers.3.q`, `.k`, `.v`, `.o`, `.gate`, `.up`, `.down`, `embed`, `head`. */
  readonly id: string;
  /** Module path, for example `model.layers.3.self_attn.q_proj`, `model.embed_tokens`, `lm_head`. */
  readonly module: string;
  readonly kind: SiteKind;
  /** Linear and head: input features. Embedding: vocabulary size. */
  readonly inFeatures: number;
  /** Linear and head: output features. Embedding: hidden size. */
  readonly outFeatures: number;
  /** Layer index, null for embedding and head. */
  readonly layer: number | null;
}

/** A tensor of the base's checkpoint; a tied head has none of its own. */
export interface BaseTensor {
  /** As in Hugging Face's files, for example `model.layers.0.self_attn.q_proj.weight`. */
  readonly name: string;
  /** As in GGUF, for example `blk.0.attn_q.weight`. */
  readonly ggufName: string;
  /** Row-major; a linear's weight is [out, in]. */
  readonly shape: readonly number[];
  /** In GGUF the rows of this many heads are permuted (`permuteRows`, `unpermuteRows`); null: they are not. */
  readonly permutedHeads: number | null;
}

export interface BaseModelDescription {
  /** Public id, for example `smollm2-135m-instruct`. */
  readonly id: string;
  /** SHA-256 over the imported weights' identity: binds adapters to this base, whatever the precision. */
  readonly digest: Digest;
  readonly family: 'llama';
  readonly hiddenSize: number;
  readonly layerCount: number;
  readonly vocabularySize: number;
  readonly maxContext: number;
  /** The head shares the embedding's weight. */
  readonly tiedHead: boolean;
  readonly sites: readonly AdapterSite[];
  readonly tensors: readonly BaseTensor[];
  /** Token ids that end a generation. */
  readonly stopTokenIds: readonly number[];
  readonly createdAtMs: number;
}

/** Original weights of a base, dequantised to float32; used for DoRA norms, merging and inspection. */
export interface BaseWeights {
  /** Weight of a site's module as [outFeatures, inFeatures] (embedding: [vocabulary, hidden]), row-major. */
  readWeight(module: string): Promise<Float32Array>;
  /** A tensor of the description by its name, row-major. */
  readTensor(name: string): Promise<Float32Array>;
}
