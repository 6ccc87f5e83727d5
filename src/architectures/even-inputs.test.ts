import { describe, expect, it } from 'vitest';
import { checkpoint } from '../graph/index.ts';
import { concatRows } from '../graph/ir/recipe.ts';
import { hasCommonRange, int8Blocks, int8BlockSize, rotationSize } from './even-inputs.ts';

const weight = (module: string, width = 128) => checkpoint(`model.layers.0.${module}.weight`, [8, width]);

describe('int8BlockSize', () => {
  it('is 64 for o, gate and up alone, also where they are fused', () => {
    const sizes = ['self_attn.o_proj', 'mlp.gate_proj', 'mlp.up_proj', 'mlp.down_proj', 'self_attn.q_proj'].map((module) =>
      int8BlockSize(weight(module)),
    );
    expect(sizes).toEqual([64, 64, 64, 32, 32]);
    expect(int8BlockSize(concatRows([weight('mlp.gate_proj'), weight('mlp.up_proj')]))).toBe(64);
    expect(int8BlockSize(concatRows([weight('mlp.gate_proj'), weight('self_attn.q_proj')]))).toBe(32);
    expect(int8BlockSize(checkpoint('model.embed_tokens.weight', [8, 128]))).toBe(32);
  });

  it('is 32 where the width is no multiple of 64', () => {
    expect(int8BlockSize(weight('self_attn.o_proj', 96))).toBe(32);
  });
});

describe('int8Blocks', () => {
  it('turns the inputs of q, k, v and the head, which bear blocks of 64 then, and leaves all others as they are', () => {
    const qkv = concatRows(['q_proj', 'k_proj', 'v_proj'].map((module) => weight(`self_attn.${module}`)));
    expect(int8Blocks(qkv)).toEqual({ size: 64, rotation: 16 });
    for (const name of ['model.embed_tokens.weight', 'lm_head.weight']) {
      expect(int8Blocks(checkpoint(name, [8, 128]))).toEqual({ size: 64, rotation: 32 });
    }
    expect(['self_attn.o_proj', 'mlp.up_proj', 'mlp.down_proj'].map((module) => int8Blocks(weight(module)))).toEqual([
      { size: 64, rotation: null },
      { size: 64, rotation: null },
      { size: 32, rotation: null },
    ]);
  });

  it('is as it was where the width is no multiple of 64', () => {
    expect(int8Blocks(weight('self_attn.q_proj', 96))).toEqual({ size: 32, rotation: null });
  });
});

describe('rotationSize', () => {
  it('is 16 behind the norms of layers, none for o, and 32 elsewhere', () => {
    expect(['self_attn.o_proj', 'mlp.down_proj', 'self_attn.q_proj'].map((module) => rotationSize(weight(module)))).toEqual([null, 32, 16]);
    expect(rotationSize(checkpoint('model.embed_tokens.weight', [8, 128]))).toBe(32);
  });

  it('is none where the width is no multiple of it', () => {
    expect([96, 80].map((width) => rotationSize(weight('mlp.down_proj', width)))).toEqual([32, null]);
    expect([80, 72].map((width) => rotationSize(weight('mlp.up_proj', width)))).toEqual([16, null]);
  });
});

describe('hasCommonRange', () => {
  it('holds for what reads a norm in a layer, if it can be turned', () => {
    expect(
      ['self_attn.k_proj', 'mlp.up_proj', 'mlp.down_proj', 'self_attn.o_proj'].map((module) => hasCommonRange(weight(module))),
    ).toEqual([true, true, false, false]);
    expect(hasCommonRange(checkpoint('model.embed_tokens.weight', [8, 128]))).toBe(false);
    expect(hasCommonRange(weight('self_attn.k_proj', 72))).toBe(false);
  });
});
