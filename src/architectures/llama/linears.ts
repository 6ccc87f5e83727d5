// The seven linears of a layer in one table: their names in every naming scheme, shapes and groups. Everything else derives from it.
import type { LlamaConfig } from './config.ts';

export type LinearName = 'q' | 'k' | 'v' | 'o' | 'gate' | 'up' | 'down';

export interface LayerLinear {
  readonly name: LinearName;
  /** Module below `model.layers.N.` */
  readonly module: string;
  /** Tensor below `blk.N.` in GGUF. */
  readonly gguf: string;
  /** Linears over one input with the same group are fused. */
  readonly group: string;
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly hasBias: boolean;
  /** llama.cpp's converter interleaves the two rotary halves of this many heads; null: it leaves the rows as they are. */
  readonly permutedHeads: number | null;
}

/** In the order of evaluation. */
export function layerLinears(config: LlamaConfig): readonly LayerLinear[] {
  const { hiddenSize, intermediateSize, headCount, kvHeadCount, headSize, attentionBias, mlpBias } = config;
  const queryWidth = headCount * headSize;
  const kvWidth = kvHeadCount * headSize;
  const attention = { hasBias: attentionBias, permutedHeads: null };
  const mlp = { hasBias: mlpBias, permutedHeads: null };
  return [
    {
      ...attention,
      name: 'q',
      module: 'self_attn.q_proj',
      gguf: 'attn_q',
      group: 'qkv',
      inFeatures: hiddenSize,
      outFeatures: queryWidth,
      permutedHeads: headCount,
    },
    {
      ...attention,
      name: 'k',
      module: 'self_attn.k_proj',
      gguf: 'attn_k',
      group: 'qkv',
      inFeatures: hiddenSize,
      outFeatures: kvWidth,
      permutedHeads: kvHeadCount,
    },
    { ...attention, name: 'v', module: 'self_attn.v_proj', gguf: 'attn_v', group: 'qkv', inFeatures: hiddenSize, outFeatures: kvWidth },
    {
      ...attention,
      name: 'o',
      module: 'self_attn.o_proj',
      gguf: 'attn_output',
      group: 'o',
      inFeatures: queryWidth,
      outFeatures: hiddenSize,
    },
    {
      ...mlp,
      name: 'gate',
      module: 'mlp.gate_proj',
      gguf: 'ffn_gate',
      group: 'gate_up',
      inFeatures: hiddenSize,
      outFeatures: intermediateSize,
    },
    { ...mlp, name: 'up', module: 'mlp.up_proj', gguf: 'ffn_up', group: 'gate_up', inFeatures: hiddenSize, outFeatures: intermediateSize },
    {
      ...mlp,
      name: 'down',
      module: 'mlp.down_proj',
      gguf: 'ffn_down',
      group: 'down',
      inFeatures: intermediateSize,
      outFeatures: hiddenSize,
    },
  ];
}

export const EMBEDDING_MODULE = 'model.embed_tokens';
export const FINAL_NORM_MODULE = 'model.norm';
export const HEAD_MODULE = 'lm_head';

/** The two norms of a layer: module below `model.layers.N.`, tensor below `blk.N.` in GGUF. */
export const LAYER_NORMS = [
  { module: 'input_layernorm', gguf: 'attn_norm' },
  { module: 'post_attention_layernorm', gguf: 'ffn_norm' },
] as const;

export function layerModule(layer: number, module: string): string {
  return `model.layers.${layer}.${module}`;
}
