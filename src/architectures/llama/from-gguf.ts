// GGUF metadata of the architecture "llama" (Mistral files carry it too) → LlamaConfig.
import { checkedConfig, type LlamaConfig, refuseModel, type RopeScaling } from './config.ts';
import { type Fields, fieldsOf, shown } from './fields.ts';

/** What the metadata leaves to the tensors of the file. */
export interface GgufTensors {
  readonly names: ReadonlySet<string>;
  /** Content of `rope_freqs.weight`, where the file has it. */
  readonly ropeDivisors?: Float32Array;
}

/** Keys by which llama.cpp would compute something else; a value in the list is the same as none. */
const NEUTRAL_VALUES: readonly (readonly [key: string, neutral: number])[] = [
  ['expert_count', 0],
  ['logit_scale', 1],
  ['residual_scale', 1],
  ['embedding_scale', 1],
  ['attention.scale', 0],
  ['attention.clamp_kqv', 0],
  ['rope.scaling.attn_factor', 1],
];

/** @throws AppError `usage` that names what is missing, out of bounds or not supported. */
export function llamaConfigFromGguf(metadata: ReadonlyMap<string, unknown>, tensors: GgufTensors): LlamaConfig {
  const general = fieldsOf('GGUF metadata', (key) => metadata.get(key));
  const architecture = general.text('general.architecture');
  if (architecture !== 'llama') refuseModel(`GGUF metadata has general.architecture = ${shown(architecture)}, expected "llama"`);
  const fields = fieldsOf('GGUF metadata', (key) => metadata.get(`llama.${key}`));
  for (const [key, neutral] of NEUTRAL_VALUES) {
    if (fields.number(key, neutral) !== neutral)
      refuseModel(`GGUF metadata has llama.${key} = ${shown(fields.value(key))}, which is not supported`);
  }
  const headCount = fields.number('attention.head_count');
  const hiddenSize = fields.number('embedding_length');
  return checkedConfig({
    family: 'llama',
    vocabularySize: fields.number('vocab_size', tokenCount(metadata)),
    hiddenSize,
    intermediateSize: fields.number('feed_forward_length'),
    layerCount: fields.number('block_count'),
    headCount,
    kvHeadCount: fields.number('attention.head_count_kv', headCount),
    headSize: headSize(fields, hiddenSize / headCount),
    maxContext: fields.number('context_length'),
    rmsEpsilon: fields.number('attention.layer_norm_rms_epsilon'),
    ropeTheta: fields.number('rope.freq_base', 10_000),
    ropeScaling: ropeScaling(fields, tensors),
    tiedHead: !tensors.names.has('output.weight'),
    attentionBias: allOrNone(tensors.names, ['attn_q', 'attn_k', 'attn_v', 'attn_output']),
    mlpBias: allOrNone(tensors.names, ['ffn_gate', 'ffn_up', 'ffn_down']),
    slidingWindow: fields.has('attention.sliding_window') ? fields.number('attention.sliding_window') : null,
  });
}

function tokenCount(metadata: ReadonlyMap<string, unknown>): number {
  const tokens = metadata.get('tokenizer.ggml.tokens');
  return Array.isArray(tokens) ? tokens.length : 0;
}

/** Key, value and rotary sizes must be one. */
function headSize(fields: Fields, fallback: number): number {
  const size = fields.number('attention.key_length', fallback);
  for (const key of ['attention.value_length', 'rope.dimension_count']) {
    if (fields.number(key, size) !== size)
      refuseModel(`GGUF metadata has llama.${key} = ${shown(fields.value(key))}, expected the head size ${size}`);
  }
  return size;
}

function ropeScaling(fields: Fields, { names, ropeDivisors }: GgufTensors): RopeScaling {
  const type = fields.text('rope.scaling.type', fields.has('rope.scale_linear') ? 'linear' : 'none');
  const hasDivisors = names.has('rope_freqs.weight');
  if (hasDivisors && !ropeDivisors) throw new Error('the content of rope_freqs.weight was not given');
  if (type === 'linear' && !hasDivisors) {
    const factor = fields.number('rope.scaling.factor', fields.number('rope.scale_linear', 1));
    return factor === 1 ? { kind: 'none' } : { kind: 'linear', factor };
  }
  if (type !== 'none')
    refuseModel(
      `GGUF metadata scales rope by llama.rope.scaling.type = ${shown(type)}${hasDivisors ? ' and rope_freqs.weight' : ''}, expected "none" or "linear"`,
    );
  return ropeDivisors && hasDivisors ? { kind: 'divisors', divisors: [...ropeDivisors] } : { kind: 'none' };
}

/** Whether the file has biases of these linears: every one or none, by its first layer. */
function allOrNone(names: ReadonlySet<string>, linears: readonly string[]): boolean {
  const found = linears.filter((linear) => names.has(`blk.0.${linear}.bias`));
  if (found.length !== 0 && found.length !== linears.length)
    refuseModel(`GGUF file has biases of ${found.join(', ')} only, expected all of ${linears.join(', ')} or none`);
  return found.length > 0;
}
