// The places of a llama that adapters may change.
import type { LlamaConfig } from './config.ts';
import { EMBEDDING_MODULE, HEAD_MODULE, layerLinears, layerModule } from './linears.ts';

/** Same shape as the site of models/description.ts, which this room must not import. */
export interface AdapterSite {
  /** `layers.3.q`, `.k`, `.v`, `.o`, `.gate`, `.up`, `.down`, `embed`, `head` */
  readonly id: string;
  /** `model.layers.3.self_attn.q_proj`, `model.embed_tokens`, `lm_head` */
  readonly module: string;
  readonly kind: 'linear' | 'embedding' | 'head';
  /** Linear and head: input features. Embedding: vocabulary size. */
  readonly inFeatures: number;
  /** Linear and head: output features. Embedding: hidden size. */
  readonly outFeatures: number;
  /** Layer index, null for embedding and head. */
  readonly layer: number | null;
}

export const EMBEDDING_SITE = 'embed';
export const HEAD_SITE = 'head';

export function linearSiteId(layer: number, linear: string): string {
  return `layers.${layer}.${linear}`;
}

/** In the order of evaluation. */
export function llamaSites(config: LlamaConfig): readonly AdapterSite[] {
  const { vocabularySize, hiddenSize, layerCount } = config;
  const linears = layerLinears(config);
  const layerSites = Array.from({ length: layerCount }, (_, layer) =>
    linears.map(({ name, module, inFeatures, outFeatures }): AdapterSite => ({
      id: linearSiteId(layer, name),
      module: layerModule(layer, module),
      kind: 'linear',
      inFeatures,
      outFeatures,
      layer,
    })),
  );
  return [
    { id: EMBEDDING_SITE, module: EMBEDDING_MODULE, kind: 'embedding', inFeatures: vocabularySize, outFeatures: hiddenSize, layer: null },
    ...layerSites.flat(),
    { id: HEAD_SITE, module: HEAD_MODULE, kind: 'head', inFeatures: hiddenSize, outFeatures: vocabularySize, layer: null },
  ];
}
