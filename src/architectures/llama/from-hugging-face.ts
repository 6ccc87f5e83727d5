// config.json of Hugging Face → LlamaConfig. What changes the arithmetic and is not built here is refused by name.
import { checkedConfig, type LlamaConfig, refuseModel, type RopeScaling } from './config.ts';
import { asRecord, type Fields, fieldsOf, shown } from './fields.ts';

/** Defaults of transformers' LlamaConfig and MistralConfig for keys that a config.json may leave out. */
const DEFAULTS = {
  llama: { maxContext: 2048, slidingWindow: null, kvHeadCount: null },
  mistral: { maxContext: 131_072, slidingWindow: 4096, kvHeadCount: 8 },
} as const;

const ARCHITECTURES: readonly unknown[] = ['LlamaForCausalLM', 'MistralForCausalLM'];

/** Keys that a llama-like model of another kind, or changed weights, would set. */
const REFUSED_KEYS = [
  'quantization_config',
  'auto_map',
  'embedding_multiplier',
  'attention_multiplier',
  'residual_multiplier',
  'logits_scaling',
  'num_local_experts',
  'attn_logit_softcapping',
  'final_logit_softcapping',
];

/** @throws AppError `usage` that names what is missing, out of bounds or not supported. */
export function llamaConfigFromHuggingFace(json: unknown): LlamaConfig {
  const record = asRecord(json, 'config.json');
  const fields = fieldsOf('config.json', (key) => (Object.hasOwn(record, key) ? record[key] : undefined));
  const modelType = supportedModelType(fields);
  const defaults = DEFAULTS[modelType];
  const headCount = fields.number('num_attention_heads');
  const hiddenSize = fields.number('hidden_size');
  const rope = ropeFields(fields);
  const slidingWindow =
    'sliding_window' in record && !fields.has('sliding_window') ? null : fields.number('sliding_window', defaults.slidingWindow ?? 0);
  return checkedConfig({
    family: 'llama',
    vocabularySize: fields.number('vocab_size'),
    hiddenSize,
    intermediateSize: fields.number('intermediate_size'),
    layerCount: fields.number('num_hidden_layers'),
    headCount,
    kvHeadCount: fields.number('num_key_value_heads', defaults.kvHeadCount ?? headCount),
    headSize: fields.number('head_dim', hiddenSize / headCount),
    maxContext: fields.number('max_position_embeddings', defaults.maxContext),
    rmsEpsilon: fields.number('rms_norm_eps', 1e-6),
    ropeTheta: rope.number('rope_theta', fields.number('rope_theta', 10_000)),
    ropeScaling: ropeScaling(rope, fields),
    tiedHead: fields.flag('tie_word_embeddings', false),
    attentionBias: modelType === 'llama' && fields.flag('attention_bias', false),
    mlpBias: modelType === 'llama' && fields.flag('mlp_bias', false),
    slidingWindow: modelType === 'mistral' && slidingWindow !== 0 ? slidingWindow : null,
  });
}

function supportedModelType(fields: Fields): keyof typeof DEFAULTS {
  const modelType = fields.text('model_type');
  if (modelType !== 'llama' && modelType !== 'mistral')
    refuseModel(`config.json has model_type = ${shown(modelType)}, expected "llama" or "mistral"`);
  const architectures = fields.value('architectures') ?? [];
  if (!Array.isArray(architectures) || architectures.some((name) => !ARCHITECTURES.includes(name))) {
    refuseModel(`config.json has architectures = ${shown(architectures)}, expected ${ARCHITECTURES.join(' or ')}`);
  }
  const activation = fields.text('hidden_act', 'silu');
  if (activation !== 'silu') refuseModel(`config.json has hidden_act = ${shown(activation)}, expected "silu"`);
  for (const key of REFUSED_KEYS)
    if (fields.has(key)) refuseModel(`config.json has ${key} = ${shown(fields.value(key))}, which is not supported`);
  if (fields.flag('rope_interleaved', false)) refuseModel('config.json has rope_interleaved = true, expected false');
  if (fields.number('partial_rotary_factor', 1) !== 1)
    refuseModel(`config.json has partial_rotary_factor = ${shown(fields.value('partial_rotary_factor'))}, expected 1`);
  return modelType;
}

/** Newer files keep theta and scaling in `rope_parameters`, older ones the scaling in `rope_scaling`. */
function ropeFields(fields: Fields): Fields {
  const key = fields.has('rope_parameters') ? 'rope_parameters' : 'rope_scaling';
  const record = fields.has(key) ? asRecord(fields.value(key), `${key} of config.json`) : {};
  return fieldsOf(`${key} of config.json`, (name) => (Object.hasOwn(record, name) ? record[name] : undefined));
}

function ropeScaling(rope: Fields, fields: Fields): RopeScaling {
  const type = rope.text('rope_type', rope.text('type', 'default'));
  if (rope.number('partial_rotary_factor', 1) !== 1) refuseModel('rope of config.json has a partial_rotary_factor, expected 1');
  switch (type) {
    case 'default':
      return { kind: 'none' };
    case 'linear':
      return { kind: 'linear', factor: rope.number('factor') };
    case 'llama3':
      return {
        kind: 'llama3',
        factor: rope.number('factor'),
        lowFreqFactor: rope.number('low_freq_factor'),
        highFreqFactor: rope.number('high_freq_factor'),
        originalMaxContext: rope.number('original_max_position_embeddings', fields.number('original_max_position_embeddings', 0)),
      };
    default:
      return refuseModel(`config.json scales rope by type ${shown(type)}, expected "default", "linear" or "llama3"`);
  }
}
