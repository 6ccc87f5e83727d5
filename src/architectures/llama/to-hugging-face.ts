// LlamaConfig → config.json of Hugging Face, for a model that came without one (GGUF). The inverse of from-hugging-face.ts.
import { type LlamaConfig, refuseModel, type RopeScaling } from './config.ts';

/** @throws AppError `usage` for rope divisors, which config.json has no words for. */
export function llamaConfigToHuggingFace(config: LlamaConfig): Readonly<Record<string, unknown>> {
  const isMistral = config.slidingWindow !== null;
  return {
    architectures: [isMistral ? 'MistralForCausalLM' : 'LlamaForCausalLM'],
    model_type: isMistral ? 'mistral' : 'llama',
    vocab_size: config.vocabularySize,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.layerCount,
    num_attention_heads: config.headCount,
    num_key_value_heads: config.kvHeadCount,
    head_dim: config.headSize,
    hidden_act: 'silu',
    max_position_embeddings: config.maxContext,
    rms_norm_eps: config.rmsEpsilon,
    rope_theta: config.ropeTheta,
    rope_scaling: scalingOf(config.ropeScaling),
    tie_word_embeddings: config.tiedHead,
    ...(isMistral ? { sliding_window: config.slidingWindow } : { attention_bias: config.attentionBias, mlp_bias: config.mlpBias }),
    use_cache: true,
  };
}

function scalingOf(scaling: RopeScaling): Readonly<Record<string, unknown>> | null {
  switch (scaling.kind) {
    case 'none':
      return null;
    case 'linear':
      return { rope_type: 'linear', factor: scaling.factor };
    case 'llama3':
      return {
        rope_type: 'llama3',
        factor: scaling.factor,
        low_freq_factor: scaling.lowFreqFactor,
        high_freq_factor: scaling.highFreqFactor,
        original_max_position_embeddings: scaling.originalMaxContext,
      };
    case 'divisors':
      return refuseModel(
        'its GGUF file scales rope by a list of divisors (rope_freqs), which config.json has no words for; import the Hugging Face folder of the model instead',
      );
  }
}
