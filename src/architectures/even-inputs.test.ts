import { describe, expect, it } from 'vitest';
import { checkpoint } from '../graph/index.ts';
import { concatRows } from '../graph/ir/recipe.ts';
import { hasCommonRange, int8BlockSize, rotationBlock } from './even-inputs.ts';

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

describe('rotationBlock', () => {
  it('is the largest block that the width allows, and none for o', () => {
    expect(['self_attn.o_proj', 'mlp.down_proj', 'self_attn.q_proj'].map((module) => rotationBlock(weight(module)))).toEqual([
      null,
      64,
      64,
    ]);
    expect(rotationBlock(checkpoint('model.embed_tokens.weight', [8, 128]))).toBe(64);
    expect([96, 80].map((width) => rotationBlock(weight('mlp.down_proj', width)))).toEqual([32, null]);
  });
});

describe('hasCommonRange', () => {
  it('holds for what reads a norm in a layer, if it can be turned', () => {
    expect(
      ['self_attn.k_proj', 'mlp.up_proj', 'mlp.down_proj', 'self_attn.o_proj'].map((module) => hasCommonRange(weight(module))),
    ).toEqual([true, true, false, false]);
    expect(hasCommonRange(checkpoint('model.embed_tokens.weight', [8, 128]))).toBe(false);
    expect(hasCommonRange(weight('self_attn.k_proj', 80))).toBe(false);
  });
});
