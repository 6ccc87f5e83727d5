import { describe, expect, it } from 'vitest';
import { checkpoint } from '../graph/index.ts';
import { concatRows } from '../graph/ir/recipe.ts';
import { int8BlockSize } from './even-inputs.ts';

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
