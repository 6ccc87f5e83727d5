// Files whose configuration and tensors tell different stories.
import { describe, expect, it } from 'vitest';
import { parseAdapterConfig } from './config.ts';
import { requireTensorsMatchConfig } from './consistency.ts';
import { groupLoraTensors } from './tensor-names.ts';

const Q = 'model.layers.1.self_attn.q_proj';
const EMBEDDING = 'model.embed_tokens';

function check(fields: Record<string, unknown>, parts: readonly string[], module = Q): void {
  const config = parseAdapterConfig(JSON.stringify({ peft_type: 'LORA', ...fields }));
  requireTensorsMatchConfig(config, groupLoraTensors(parts.map((part) => `base_model.model.${module}.${part}`)));
}

const AB = ['lora_A.weight', 'lora_B.weight'];
const EMBEDDING_AB = ['lora_embedding_A', 'lora_embedding_B'];

describe('requireTensorsMatchConfig', () => {
  it.each<[string, Record<string, unknown>, readonly string[], string?]>([
    ['plain LoRA', { target_modules: ['q_proj'] }, AB],
    ['no list of targets', {}, AB],
    ['a target by its whole path', { target_modules: [Q] }, AB],
    ['an expression, which cannot be checked', { target_modules: 'nothing', exclude_modules: 'q_proj' }, AB],
    ['all-linear', { target_modules: 'All-Linear' }, AB],
    ['DoRA', { use_dora: true }, [...AB, 'lora_magnitude_vector']],
    ['a bias', { lora_bias: true }, [...AB, 'lora_B.bias']],
    ['an embedding', { target_modules: ['embed_tokens'] }, EMBEDDING_AB, EMBEDDING],
    ['a chosen layer', { target_modules: ['q_proj'], layers_to_transform: [0, 1] }, AB],
    ['a chosen layer of a named list', { target_modules: ['q_proj'], layers_to_transform: 1, layers_pattern: ['h', 'layers'] }, AB],
    ['a trained bias', { bias: 'lora_only' }, [...AB, 'base_layer.bias']],
    ['every trained bias', { bias: 'all' }, [...AB, 'base_layer.bias']],
    ['another module excluded', { target_modules: ['q_proj'], exclude_modules: ['proj', 'layers.0.self_attn.q_proj'] }, AB],
  ])('takes %s', (_, fields, parts, module) => {
    expect(() => check(fields, parts, module)).not.toThrow();
  });

  it.each<[string, Record<string, unknown>, readonly string[], RegExp, string?]>([
    ['DoRA without a magnitude', { use_dora: true }, AB, /no tensor lora_magnitude_vector.*"use_dora": true/],
    ['a magnitude without DoRA', {}, [...AB, 'lora_magnitude_vector'], /"use_dora": false/],
    ['lora_bias without a bias', { lora_bias: true }, AB, /no tensor lora_B.bias/],
    ['a bias without lora_bias', {}, [...AB, 'lora_B.bias'], /"lora_bias": false/],
    ['lora_bias with an embedding', { lora_bias: true }, EMBEDDING_AB, /does not allow "lora_bias" with an embedding/, EMBEDDING],
    ['a module that is no target', { target_modules: ['v_proj', 'proj'] }, AB, /"target_modules"/],
    ['an empty list of targets', { target_modules: [] }, AB, /"target_modules"/],
    ['an embedding among all-linear', { target_modules: 'all-linear' }, EMBEDDING_AB, /"target_modules"/, EMBEDDING],
    ['an excluded module', { target_modules: ['q_proj'], exclude_modules: ['self_attn.q_proj'] }, AB, /"exclude_modules"/],
    ['a layer that was not chosen', { target_modules: ['q_proj'], layers_to_transform: [0] }, AB, /"layers_to_transform"/],
    ['a layer of another list', { target_modules: ['q_proj'], layers_to_transform: [1], layers_pattern: 'h' }, AB, /"layers_to_transform"/],
    ['a module outside the layers', { target_modules: ['lm_head'], layers_to_transform: [1] }, AB, /"layers_to_transform"/, 'lm_head'],
    ['LoRA on a saved module', { modules_to_save: ['self_attn.q_proj'] }, AB, /has LoRA, but is among "modules_to_save"/],
    ['a saved module that is not there', { modules_to_save: ['lm_head'] }, AB, /no full weight of such a module/],
    ['a bias of the base that nothing announces', {}, [...AB, 'base_layer.bias'], /has a bias of the base.*"bias": "none"/],
    [
      'a list of layers by expression',
      { target_modules: ['q_proj'], layers_to_transform: [1], layers_pattern: '(h|layers)' },
      AB,
      /regular expression/,
    ],
  ])('refuses %s', (_, fields, parts, message, module) => {
    expect(() => check(fields, parts, module)).toThrow(message);
  });

  const beside = (fields: Record<string, unknown>, names: readonly string[]) => (): void => {
    const config = parseAdapterConfig(JSON.stringify({ peft_type: 'LORA', ...fields }));
    requireTensorsMatchConfig(config, groupLoraTensors([...AB.map((part) => `${Q}.${part}`), ...names]));
  };

  it('takes tensors of modules without LoRA as far as the configuration announces them', () => {
    const norm = 'model.layers.0.input_layernorm.weight';
    const rows = 'model.embed_tokens.token_adapter.trainable_tokens_delta';
    // PEFT takes any path that ends so: "norm" names every norm of the model.
    expect(beside({ modules_to_save: ['norm'] }, [norm, 'model.norm.weight'])).not.toThrow();
    expect(beside({}, [norm])).toThrow(/is a full weight, but its module is not among "modules_to_save"/);
    expect(beside({}, ['lm_head.weight'])).not.toThrow();
    expect(beside({ bias: 'all' }, ['o_proj.bias'])).not.toThrow();
    expect(beside({ bias: 'lora_only' }, ['o_proj.bias'])).toThrow(/"bias": "lora_only"/);
    expect(beside({ trainable_token_indices: [3] }, [rows])).not.toThrow();
    expect(beside({ trainable_token_indices: { lm_head: [3] } }, [rows])).toThrow(/does not name its module/);
    expect(beside({}, [rows])).toThrow(/"trainable_token_indices"/);
  });
});
