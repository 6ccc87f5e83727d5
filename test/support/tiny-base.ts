// Descriptions of small llama bases, and the weights of the tiny-llama fixture, without importing a model.
import { readFileSync } from 'node:fs';
import { llamaCheckpointTensors, type LlamaConfig, llamaSites } from '../../src/architectures/index.ts';
import type { Digest } from '../../src/core/index.ts';
import { readSafetensors, tensorToFloat32 } from '../../src/formats/index.ts';
import type { BaseModelDescription, BaseWeights } from '../../src/models/index.ts';
import { fixturePath } from './repository.ts';

interface LlamaSizes {
  readonly id: string;
  readonly digest: Digest;
  readonly layerCount: number;
  readonly hiddenSize: number;
  readonly keyValueSize: number;
  readonly headSize: number;
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
  headSize: 16,
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
  headSize: 64,
  mlpSize: 1536,
  vocabularySize: 49_152,
});

export function llamaDescription(sizes: LlamaSizes): BaseModelDescription {
  const { id, digest, layerCount, hiddenSize, vocabularySize, headSize } = sizes;
  const config: LlamaConfig = {
    family: 'llama',
    vocabularySize,
    hiddenSize,
    intermediateSize: sizes.mlpSize,
    layerCount,
    headCount: hiddenSize / headSize,
    kvHeadCount: sizes.keyValueSize / headSize,
    headSize,
    maxContext: 256,
    rmsEpsilon: 1e-5,
    ropeTheta: 1e4,
    ropeScaling: { kind: 'none' },
    tiedHead: true,
    attentionBias: false,
    mlpBias: false,
    slidingWindow: null,
  };
  return {
    id,
    digest,
    family: 'llama',
    hiddenSize,
    layerCount,
    vocabularySize,
    maxContext: config.maxContext,
    tiedHead: config.tiedHead,
    sites: llamaSites(config),
    tensors: llamaCheckpointTensors(config),
    stopTokenIds: [2],
    createdAtMs: 0,
  };
}

/** Weights of the fixture tiny-llama, whose head is tied to its embedding. */
export function tinyWeights(): BaseWeights {
  const { tensors } = readSafetensors(readFileSync(fixturePath('tiny-llama/model.safetensors')));
  const readTensor = async (name: string): Promise<Float32Array> => {
    const tensor = tensors.get(name);
    if (tensor === undefined) throw new Error(`the fixture has no tensor ${name}`);
    return tensorToFloat32(tensor);
  };
  return { readTensor, readWeight: (module) => readTensor(`${module === 'lm_head' ? 'model.embed_tokens' : module}.weight`) };
}
