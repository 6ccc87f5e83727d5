// Descriptions of small llama bases, and the weights of the tiny-llama fixture, without importing a model.
import { readFileSync } from 'node:fs';
import type { Digest } from '../../src/core/index.ts';
import { readSafetensors, tensorToFloat32 } from '../../src/formats/index.ts';
import type { AdapterSite, BaseModelDescription, BaseWeights } from '../../src/models/index.ts';
import { fixturePath } from './repository.ts';

interface LlamaSizes {
  readonly id: string;
  readonly digest: Digest;
  readonly layerCount: number;
  readonly hiddenSize: number;
  readonly keyValueSize: number;
  readonly mlpSize: number;
  readonly vocabularySize: number;
}

/** The fixture tiny-llama. */
export const TINY_BASE = llamaDescription({
  id: 'tiny-llama',
  digest: 'a'.repeat(64) as Digest,
  layerCount: 2,
  hiddenSize: 64,
  keyValueSize: 32,
  mlpSize: 96,
  vocabularySize: 384,
});

/** The shape of the default base model; none of its weights. */
export const SMOLLM2_BASE = llamaDescription({
  id: 'smollm2-135m-instruct',
  digest: 'b'.repeat(64) as Digest,
  layerCount: 30,
  hiddenSize: 576,
  keyValueSize: 192,
  mlpSize: 1536,
  vocabularySize: 49_152,
});

export function llamaDescription(sizes: LlamaSizes): BaseModelDescription {
  const { id, digest, layerCount, hiddenSize, vocabularySize } = sizes;
  const layers = Array.from({ length: layerCount }, (_, layer) => layerSites(layer, sizes));
  const sites: readonly AdapterSite[] = [
    { id: 'embed', module: 'model.embed_tokens', kind: 'embedding', inFeatures: vocabularySize, outFeatures: hiddenSize, layer: null },
    ...layers.flat(),
    { id: 'head', module: 'lm_head', kind: 'head', inFeatures: hiddenSize, outFeatures: vocabularySize, layer: null },
  ];
  return {
    id,
    digest,
    family: 'llama',
    hiddenSize,
    layerCount,
    vocabularySize,
    maxContext: 256,
    tiedHead: true,
    sites,
    stopTokenIds: [2],
    createdAtMs: 0,
  };
}

function layerSites(layer: number, { hiddenSize, keyValueSize, mlpSize }: LlamaSizes): readonly AdapterSite[] {
  const linears = [
    ['q', 'self_attn.q_proj', hiddenSize, hiddenSize],
    ['k', 'self_attn.k_proj', hiddenSize, keyValueSize],
    ['v', 'self_attn.v_proj', hiddenSize, keyValueSize],
    ['o', 'self_attn.o_proj', hiddenSize, hiddenSize],
    ['gate', 'mlp.gate_proj', hiddenSize, mlpSize],
    ['up', 'mlp.up_proj', hiddenSize, mlpSize],
    ['down', 'mlp.down_proj', mlpSize, hiddenSize],
  ] as const;
  return linears.map(([name, module, inFeatures, outFeatures]) => ({
    id: `layers.${layer}.${name}`,
    module: `model.layers.${layer}.${module}`,
    kind: 'linear',
    inFeatures,
    outFeatures,
    layer,
  }));
}

/** Weights of the fixture tiny-llama, whose head is tied to its embedding. */
export function tinyWeights(): BaseWeights {
  const { tensors } = readSafetensors(readFileSync(fixturePath('tiny-llama/model.safetensors')));
  return {
    readWeight: async (module) => {
      const tensor = tensors.get(`${module === 'lm_head' ? 'model.embed_tokens' : module}.weight`);
      if (tensor === undefined) throw new Error(`the fixture has no weight of ${module}`);
      return tensorToFloat32(tensor);
    },
  };
}
