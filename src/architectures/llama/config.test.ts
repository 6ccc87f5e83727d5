import { describe, expect, it } from 'vitest';
import { llamaConfigFromGguf } from './from-gguf.ts';
import { llamaConfigFromHuggingFace } from './from-hugging-face.ts';
import { ropeFrequencies } from './rope.ts';
import { llamaConfigToHuggingFace } from './to-hugging-face.ts';

const smolLm2 = {
  architectures: ['LlamaForCausalLM'],
  attention_bias: false,
  hidden_act: 'silu',
  hidden_size: 576,
  intermediate_size: 1536,
  max_position_embeddings: 8192,
  model_type: 'llama',
  num_attention_heads: 9,
  num_hidden_layers: 30,
  num_key_value_heads: 3,
  rms_norm_eps: 1e-5,
  rope_interleaved: false,
  rope_scaling: null,
  rope_theta: 100_000,
  tie_word_embeddings: true,
  vocab_size: 49_152,
  use_cache: true,
};

const llama3Scaling = { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 };

describe('llamaConfigFromHuggingFace', () => {
  it('reads SmolLM2', () => {
    expect(llamaConfigFromHuggingFace(smolLm2)).toEqual({
      family: 'llama',
      vocabularySize: 49_152,
      hiddenSize: 576,
      intermediateSize: 1536,
      layerCount: 30,
      headCount: 9,
      kvHeadCount: 3,
      headSize: 64,
      maxContext: 8192,
      rmsEpsilon: 1e-5,
      ropeTheta: 100_000,
      ropeScaling: { kind: 'none' },
      tiedHead: true,
      attentionBias: false,
      mlpBias: false,
      slidingWindow: null,
    });
  });

  it('takes the defaults of transformers for keys that are left out', () => {
    const {
      num_key_value_heads: _heads,
      rms_norm_eps: _eps,
      rope_theta: _theta,
      max_position_embeddings: _context,
      tie_word_embeddings: _tied,
      ...least
    } = smolLm2;
    const defaults = { rmsEpsilon: 1e-6, ropeTheta: 10_000, tiedHead: false };
    expect(llamaConfigFromHuggingFace(least)).toMatchObject({ ...defaults, kvHeadCount: 9, maxContext: 2048, slidingWindow: null });
    const mistral = { ...least, model_type: 'mistral', architectures: ['MistralForCausalLM'], num_attention_heads: 32, hidden_size: 4096 };
    expect(llamaConfigFromHuggingFace(mistral)).toMatchObject({ ...defaults, kvHeadCount: 8, maxContext: 131_072, slidingWindow: 4096 });
    expect(llamaConfigFromHuggingFace({ ...mistral, sliding_window: null })).toMatchObject({ slidingWindow: null });
    expect(llamaConfigFromHuggingFace({ ...mistral, sliding_window: 100 })).toMatchObject({ slidingWindow: 100 });
  });

  it('reads rope scaling in its old and new place', () => {
    const ropeScaling = { kind: 'llama3', factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxContext: 8192 };
    expect(llamaConfigFromHuggingFace({ ...smolLm2, rope_scaling: llama3Scaling })).toMatchObject({ ropeScaling, ropeTheta: 100_000 });
    const { rope_theta: _theta, rope_scaling: _scaling, ...rest } = smolLm2;
    expect(llamaConfigFromHuggingFace({ ...rest, rope_parameters: { ...llama3Scaling, rope_theta: 500_000 } })).toMatchObject({
      ropeScaling,
      ropeTheta: 500_000,
    });
    expect(llamaConfigFromHuggingFace({ ...smolLm2, rope_scaling: { type: 'linear', factor: 2 } })).toMatchObject({
      ropeScaling: { kind: 'linear', factor: 2 },
    });
  });

  it.each([
    [{ model_type: 'qwen2' }, 'config.json has model_type = "qwen2", expected "llama" or "mistral"'],
    [
      { architectures: ['LlamaForSequenceClassification'] },
      'architectures = ["LlamaForSequenceClassification"], expected LlamaForCausalLM',
    ],
    [{ hidden_act: 'gelu' }, 'hidden_act = "gelu", expected "silu"'],
    [{ quantization_config: { bits: 4 } }, 'quantization_config = {"bits":4}, which is not supported'],
    [{ auto_map: {} }, 'auto_map = {}, which is not supported'],
    [{ rope_scaling: { type: 'dynamic', factor: 2 } }, 'scales rope by type "dynamic"'],
    [{ rope_scaling: { rope_type: 'yarn', factor: 2 } }, 'scales rope by type "yarn"'],
    [{ rope_scaling: { type: 'linear' } }, 'rope_scaling of config.json has no factor, expected a number'],
    [{ rope_scaling: [1] }, 'rope_scaling of config.json is [1], expected an object'],
    [{ partial_rotary_factor: 0.5 }, 'partial_rotary_factor = 0.5, expected 1'],
    [{ rope_interleaved: true }, 'rope_interleaved = true, expected false'],
    [{ hidden_size: '576' }, 'hidden_size = "576", expected a number'],
    [{ vocab_size: undefined }, 'config.json has no vocab_size, expected a number'],
    [{ num_hidden_layers: 1e9 }, 'layerCount is 1000000000, expected an integer from 1 to 512'],
    [{ num_hidden_layers: 1.5 }, 'layerCount is 1.5, expected an integer'],
    [{ num_attention_heads: 0 }, 'headCount is 0'],
    [{ num_key_value_heads: 4 }, '9 heads and 4 key-value heads, expected a multiple'],
    [{ head_dim: 40 }, 'headSize is 40, expected a multiple of 16'],
    [{ rms_norm_eps: -1 }, 'rmsEpsilon is -1'],
    [{ rope_theta: Number.NaN }, 'ropeTheta is NaN'],
    [{ attention_bias: 'yes' }, 'attention_bias = "yes", expected true or false'],
  ])('refuses %j by name', (change, message) => {
    expect(() => llamaConfigFromHuggingFace({ ...smolLm2, ...change })).toThrow(message);
  });

  it.each([null, 7, 'text', []])('refuses %j, which is no object', (json) => {
    expect(() => llamaConfigFromHuggingFace(json)).toThrow('expected an object');
  });
});

describe('llamaConfigToHuggingFace', () => {
  it.each([
    {},
    { rope_scaling: llama3Scaling },
    { rope_scaling: { type: 'linear', factor: 2 } },
    { attention_bias: true, mlp_bias: true, tie_word_embeddings: false },
    { model_type: 'mistral', architectures: ['MistralForCausalLM'], sliding_window: 100 },
    { head_dim: 32 },
  ])('writes a config.json that is read as the same model: %j', (change) => {
    const config = llamaConfigFromHuggingFace({ ...smolLm2, ...change });
    expect(llamaConfigFromHuggingFace(llamaConfigToHuggingFace(config))).toEqual(config);
  });

  it('refuses rope divisors, which a config.json cannot hold', () => {
    const config = { ...llamaConfigFromHuggingFace(smolLm2), ropeScaling: { kind: 'divisors', divisors: [1] } } as const;
    expect(() => llamaConfigToHuggingFace(config)).toThrow('which config.json has no words for; import the Hugging Face folder');
  });
});

describe('llamaConfigFromGguf', () => {
  const metadata = new Map<string, unknown>([
    ['general.architecture', 'llama'],
    ['llama.block_count', 30],
    ['llama.context_length', 8192],
    ['llama.embedding_length', 576],
    ['llama.feed_forward_length', 1536],
    ['llama.attention.head_count', 9],
    ['llama.attention.head_count_kv', 3],
    ['llama.attention.layer_norm_rms_epsilon', 1e-5],
    ['llama.rope.freq_base', 100_000],
    ['llama.rope.dimension_count', 64],
    ['llama.vocab_size', 49_152n],
  ]);
  const read = (change: Readonly<Record<string, unknown>> = {}, names: readonly string[] = [], ropeDivisors?: Float32Array) =>
    llamaConfigFromGguf(new Map([...metadata, ...Object.entries(change)]), {
      names: new Set(names),
      ...(ropeDivisors && { ropeDivisors }),
    });

  it('reads the same config as config.json gives', () => {
    expect(read()).toEqual(llamaConfigFromHuggingFace(smolLm2));
  });

  it('sees the head, biases and rope divisors of the file', () => {
    const biases = ['attn_q', 'attn_k', 'attn_v', 'attn_output'].map((name) => `blk.0.${name}.bias`);
    expect(read({}, ['output.weight', ...biases])).toMatchObject({ tiedHead: false, attentionBias: true, mlpBias: false });
    expect(read({}, ['rope_freqs.weight'], new Float32Array(32).fill(2))).toMatchObject({ ropeScaling: { kind: 'divisors' } });
    expect(read({ 'llama.rope.scaling.type': 'linear', 'llama.rope.scaling.factor': 4 })).toMatchObject({
      ropeScaling: { kind: 'linear', factor: 4 },
    });
  });

  it('counts the tokens where the size of the vocabulary is not given', () => {
    expect(read({ 'llama.vocab_size': undefined, 'tokenizer.ggml.tokens': ['a', 'b', 'c'] })).toMatchObject({ vocabularySize: 3 });
  });

  it.each([
    [{ 'general.architecture': 'qwen2' }, [], 'general.architecture = "qwen2", expected "llama"'],
    [{ 'llama.expert_count': 8 }, [], 'llama.expert_count = 8, which is not supported'],
    [{ 'llama.rope.scaling.type': 'yarn' }, [], 'llama.rope.scaling.type = "yarn"'],
    [{ 'llama.rope.dimension_count': 32 }, [], 'llama.rope.dimension_count = 32, expected the head size 64'],
    [{ 'llama.attention.head_count': [9, 9] }, [], 'attention.head_count = [9,9], expected a number'],
    [{ 'llama.block_count': 2n ** 60n }, [], 'block_count = 1152921504606846976, expected a number'],
    [{}, ['blk.0.attn_q.bias'], 'biases of attn_q only'],
  ] as const)('refuses %o with tensors %j', (change, names, message) => {
    expect(() => read(change, names)).toThrow(message);
  });
});

describe('ropeFrequencies', () => {
  it("follows Llama 3.1's formula at both ends and between", () => {
    const config = { ...llamaConfigFromHuggingFace({ ...smolLm2, rope_theta: 500_000, rope_scaling: llama3Scaling }) };
    const plain = ropeFrequencies({ ...config, ropeScaling: { kind: 'none' } });
    const scaled = ropeFrequencies(config);
    expect(scaled[0]).toBe(plain[0]);
    expect((scaled.at(-1) ?? 0) / (plain.at(-1) ?? 1)).toBeCloseTo(1 / 8, 6);
    const between = scaled.findIndex((value, index) => value !== plain[index] && value > (plain[index] ?? 0) / 7.9);
    const frequency = plain[between] ?? 0;
    const blend = (8192 / ((2 * Math.PI) / frequency) - 1) / 3;
    expect(scaled[between]).toBeCloseTo(((1 - blend) * frequency) / 8 + blend * frequency, 8);
  });

  it('gives the divisors of a GGUF the same effect', () => {
    const config = llamaConfigFromHuggingFace({ ...smolLm2, rope_scaling: llama3Scaling });
    const plain = ropeFrequencies({ ...config, ropeScaling: { kind: 'none' } });
    const scaled = ropeFrequencies(config);
    const divisors = plain.map((value, index) => Math.fround(value / (scaled[index] ?? 1)));
    const back = ropeFrequencies({ ...config, ropeScaling: { kind: 'divisors', divisors } });
    for (const [index, value] of back.entries()) expect(value / (scaled[index] ?? 1)).toBeCloseTo(1, 6);
  });
});
