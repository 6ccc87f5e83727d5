// Scale per module, as PEFT resolves it.
import { describe, expect, it } from 'vitest';
import { parseAdapterConfig } from './config.ts';
import { resolveScale } from './scale.ts';

const MODULE = 'model.layers.10.self_attn.q_proj';

function scale(fields: Record<string, unknown>, rank: number, module = MODULE): number {
  return resolveScale(parseAdapterConfig(JSON.stringify({ peft_type: 'LORA', ...fields })), module, rank);
}

describe('resolveScale', () => {
  it('is alpha / r, or alpha / sqrt(r) for rsLoRA', () => {
    expect(scale({ r: 8, lora_alpha: 16 }, 8)).toBe(2);
    expect(scale({ r: 16, lora_alpha: 8, use_rslora: true }, 16)).toBe(2);
    expect(scale({ r: 8, lora_alpha: 16, use_rslora: true }, 8)).toBe(16 / Math.sqrt(8));
    expect(scale({ r: 4, lora_alpha: 0 }, 4)).toBe(0);
  });

  it('takes rank and alpha of the module where patterns name it, also under rsLoRA', () => {
    const fields = { r: 8, lora_alpha: 16, rank_pattern: { q_proj: 4 }, alpha_pattern: { 'self_attn.q_proj': 6 } };
    expect(scale(fields, 4)).toBe(1.5);
    expect(scale({ ...fields, use_rslora: true }, 4)).toBe(3);
    expect(scale(fields, 8, 'model.layers.10.self_attn.v_proj')).toBe(2);
  });

  it('matches keys as whole path or after a dot, never inside a name', () => {
    const alphaOf = (key: string, module = MODULE): number => scale({ r: 1, lora_alpha: 1, alpha_pattern: { [key]: 5 } }, 1, module);
    expect(alphaOf('q_proj')).toBe(5);
    expect(alphaOf('10.self_attn.q_proj')).toBe(5);
    expect(alphaOf(MODULE)).toBe(5);
    expect(alphaOf('lm_head', 'lm_head')).toBe(5);
    expect(alphaOf('proj')).toBe(1);
    expect(alphaOf('0.self_attn.q_proj')).toBe(1);
    expect(alphaOf('self_attn')).toBe(1);
    expect(alphaOf(`x.${MODULE}`)).toBe(1);
  });

  it('lets the first key of the file win', () => {
    const text = (pattern: string): string => `{"peft_type":"LORA","r":1,"lora_alpha":1,"alpha_pattern":${pattern}}`;
    const first = (pattern: string): number => resolveScale(parseAdapterConfig(text(pattern)), 'layers.7', 1);
    expect(first('{"layers.7":3,"7":5}')).toBe(3);
    // JSON.parse would move "7" to the front.
    expect(first('{"7":5,"layers.7":3}')).toBe(5);
  });

  it('refuses a key whose dot stands for another character, which only a regular expression would match', () => {
    expect(() => scale({ r: 1, alpha_pattern: { 'q.proj': 5 } }, 1)).toThrow(/"q.proj" matches module .* only as a regular expression/);
    expect(scale({ r: 1, lora_alpha: 1, alpha_pattern: { 'q.proj': 5 } }, 1, 'a.q.proj')).toBe(5);
  });

  it('refuses tensors of another rank than the configuration says, naming both', () => {
    expect(() => scale({ r: 8 }, 4)).toThrow(/q_proj.*rank 4.*says 8/);
    expect(() => scale({ r: 8, rank_pattern: { q_proj: 2 } }, 8)).toThrow(/rank 8.*says 2/);
  });
});
