// What adapter_config.json may say, and what is refused by name.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BROKEN_ADAPTER_CONFIGS } from '../../../test/support/broken-adapter-configs.ts';
import { outcomeOf } from '../../../test/support/outcome.ts';
import { AppError } from '../../core/index.ts';
import { parseAdapterConfig } from './config.ts';

function parse(fields: Record<string, unknown>): ReturnType<typeof parseAdapterConfig> {
  return parseAdapterConfig(JSON.stringify({ peft_type: 'LORA', ...fields }));
}

/** What PEFT 0.21.2 writes for a plain adapter; every other field of its LoraConfig is falsy. */
const PEFT_0_21 = {
  alora_invocation_tokens: null,
  alpha_pattern: {},
  arrow_config: null,
  auto_mapping: null,
  base_model_name_or_path: 'HuggingFaceTB/SmolLM2-135M-Instruct',
  bias: 'none',
  corda_config: null,
  ensure_weight_tying: false,
  eva_config: null,
  exclude_modules: null,
  fan_in_fan_out: false,
  inference_mode: true,
  init_lora_weights: true,
  kasa_config: null,
  layer_replication: null,
  layers_pattern: null,
  layers_to_transform: null,
  loftq_config: {},
  lora_alpha: 16,
  lora_bias: false,
  lora_dropout: 0.05,
  lora_ga_config: null,
  megatron_config: null,
  megatron_core: 'megatron.core',
  modules_to_save: null,
  peft_type: 'LORA',
  peft_version: '0.21.2',
  qalora_group_size: 16,
  r: 4,
  rank_pattern: {},
  revision: null,
  target_modules: ['v_proj', 'q_proj'],
  target_parameters: null,
  task_type: 'CAUSAL_LM',
  trainable_token_indices: null,
  use_dora: true,
  use_qalora: false,
  use_rslora: false,
};

describe('parseAdapterConfig', () => {
  it('reads what PEFT writes', () => {
    expect(parseAdapterConfig(JSON.stringify(PEFT_0_21))).toEqual({
      rank: 4,
      alpha: 16,
      rankPattern: new Map(),
      alphaPattern: new Map(),
      useRslora: false,
      useDora: true,
      loraBias: false,
      bias: 'none',
      modulesToSave: [],
      tokenRows: null,
      targetModules: ['v_proj', 'q_proj'],
      excludeModules: null,
      layersToTransform: null,
      layersPattern: [],
      baseModelLabel: 'HuggingFaceTB/SmolLM2-135M-Instruct',
      peftVersion: '0.21.2',
    });
  });

  it('takes the defaults of PEFT for fields that an old version did not write', () => {
    expect(parse({})).toMatchObject({
      rank: 8,
      alpha: 8,
      useRslora: false,
      useDora: false,
      loraBias: false,
      targetModules: null,
      peftVersion: null,
    });
  });

  it('keeps pattern keys in file order, numbers first or not', () => {
    const config = parseAdapterConfig('{"peft_type":"LORA","rank_pattern":{"q_proj":4,"0":8},"alpha_pattern":{"b":0.5,"a":-2}}');
    expect([...config.rankPattern]).toEqual([
      ['q_proj', 4],
      ['0', 8],
    ]);
    expect([...config.alphaPattern]).toEqual([
      ['b', 0.5],
      ['a', -2],
    ]);
  });

  it('ignores unknown fields that are falsy', () => {
    for (const value of [null, false, 0, '', [], {}]) expect(parse({ new_field: value }).rank).toBe(8);
  });

  it('takes initialisers that leave the base alone, and their parameters', () => {
    for (const name of [true, false, null, 'gaussian', 'Gaussian', 'eva', 'orthogonal', 'mica'])
      expect(parse({ init_lora_weights: name }).rank).toBe(8);
    expect(parse({ init_lora_weights: 'eva', eva_config: { rho: 2 } }).rank).toBe(8);
    // A converted PiSSA or CorDA adapter says true here and still carries the parameters.
    expect(parse({ init_lora_weights: true, corda_config: { corda_method: 'kpm' }, loftq_config: { loftq_bits: 4 } }).rank).toBe(8);
  });

  it('reads which tensors of the base stand in the file', () => {
    expect(parse({ bias: 'lora_only', modules_to_save: ['lm_head'], fan_in_fan_out: true })).toMatchObject({
      bias: 'lora_only',
      modulesToSave: ['lm_head'],
    });
    expect(parse({ trainable_token_indices: [7, 3] }).tokenRows).toEqual(new Map([['', [7, 3]]]));
    expect(parse({ trainable_token_indices: { embed_tokens: [7], lm_head: [3, 1] } }).tokenRows).toEqual(
      new Map([
        ['embed_tokens', [7]],
        ['lm_head', [3, 1]],
      ]),
    );
    expect(parse({ trainable_token_indices: [] }).tokenRows).toBeNull();
  });

  it('keeps expressions as labels and one layer as a list of one', () => {
    expect(parse({ target_modules: '.*(q|v)_proj', exclude_modules: '(((' })).toMatchObject({
      targetModules: '.*(q|v)_proj',
      excludeModules: '(((',
    });
    expect(parse({ target_modules: ['q'], layers_to_transform: 3, layers_pattern: 'layers' })).toMatchObject({
      layersToTransform: [3],
      layersPattern: ['layers'],
    });
    expect(parse({ layers_to_transform: [], layers_pattern: [] })).toMatchObject({ layersToTransform: null, layersPattern: [] });
    expect(parse({ auto_mapping: { base_model_class: 'LlamaModel', parent_library: 'transformers' } }).rank).toBe(8);
  });

  it.each(BROKEN_ADAPTER_CONFIGS)('refuses $name', ({ text, code, message }) => {
    const refusal = outcomeOf(() => parseAdapterConfig(text)).error;
    expect(refusal).toBeInstanceOf(AppError);
    expect(refusal).toMatchObject({ code, message: expect.stringMatching(message) as string });
  });

  it('answers a usable configuration or an AppError for any values of any fields', () => {
    const key = fc.constantFrom('peft_type', ...Object.keys(PEFT_0_21), 'x');
    fc.assert(
      fc.property(fc.dictionary(key, fc.jsonValue()), (fields) => {
        const { value: config, error } = outcomeOf(() => parse(fields));
        const isUsable = config !== undefined && config.rank > 0 && Number.isFinite(config.alpha);
        expect(isUsable || error instanceof AppError).toBe(true);
      }),
      { numRuns: 1000, seed: 5 },
    );
  });
});
