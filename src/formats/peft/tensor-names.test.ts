// Tensor names of PEFT files, grouped by module.
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { outcomeOf } from '../../../test/support/outcome.ts';
import { AppError } from '../../core/index.ts';
import { groupLoraTensors } from './tensor-names.ts';

const Q = 'model.layers.0.self_attn.q_proj';

describe('groupLoraTensors', () => {
  it('groups A, B, bias and magnitude of a Linear', () => {
    const names = ['lora_B.bias', 'lora_A.weight', 'lora_magnitude_vector', 'lora_B.weight'].map((part) => `base_model.model.${Q}.${part}`);
    expect(groupLoraTensors(names)).toEqual([{ form: 'linear', module: Q, a: names[1], b: names[3], bias: names[0], magnitude: names[2] }]);
  });

  it('groups embeddings, whose names have no .weight', () => {
    const [a, b] = ['base_model.model.model.embed_tokens.lora_embedding_A', 'base_model.model.model.embed_tokens.lora_embedding_B'];
    expect(groupLoraTensors([a, b])).toEqual([{ form: 'embedding', module: 'model.embed_tokens', embeddingA: a, embeddingB: b }]);
  });

  it('takes names without the prefix, with the adapter name "default", and both spellings of the magnitude', () => {
    const names = [`${Q}.lora_A.default.weight`, `${Q}.lora_B.default.weight`, `${Q}.lora_magnitude_vector.weight`];
    expect(groupLoraTensors(names)).toEqual([{ form: 'linear', module: Q, a: names[0], b: names[1], magnitude: names[2] }]);
  });

  it('keeps the full weight of an embedding or head beside its LoRA, in both spellings', () => {
    const [a, b] = ['model.embed_tokens.lora_embedding_A', 'model.embed_tokens.lora_embedding_B'];
    const embedding = { form: 'embedding', module: 'model.embed_tokens', embeddingA: a, embeddingB: b };
    for (const baseWeight of ['base_model.model.model.embed_tokens.base_layer.weight', 'model.embed_tokens.weight'])
      expect(groupLoraTensors([a, baseWeight, b])).toEqual([{ ...embedding, baseWeight }]);
    const head = ['lm_head.lora_A.weight', 'lm_head.lora_B.weight', 'lm_head.base_layer.weight'];
    expect(groupLoraTensors(head)).toEqual([{ form: 'linear', module: 'lm_head', a: head[0], b: head[1], baseWeight: head[2] }]);
  });

  it('takes the full weight of an embedding or head without LoRA when other modules have LoRA', () => {
    const names = [`${Q}.lora_A.weight`, `${Q}.lora_B.weight`, 'base_model.model.lm_head.weight'];
    expect(groupLoraTensors(names)).toEqual([
      { form: 'linear', module: Q, a: names[0], b: names[1] },
      { form: 'replaced', module: 'lm_head', baseWeight: names[2] },
    ]);
  });

  it('groups tensors of the base: trained biases, rows and whole modules', () => {
    const [a, b, bias] = [`${Q}.lora_A.weight`, `${Q}.lora_B.weight`, `${Q}.base_layer.bias`];
    const rows = 'base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta';
    const names = [a, b, bias, rows, 'model.norm.weight', 'my_lm_head.weight', 'my_lm_head.bias'];
    expect(groupLoraTensors(names)).toEqual([
      { form: 'linear', module: Q, a, b, baseBias: bias },
      { form: 'replaced', module: 'model.embed_tokens', tokenRows: rows },
      { form: 'replaced', module: 'model.norm', baseWeight: 'model.norm.weight' },
      { form: 'replaced', module: 'my_lm_head', baseWeight: 'my_lm_head.weight', baseBias: 'my_lm_head.bias' },
    ]);
  });

  it('keeps the order of first appearance', () => {
    const names = ['b', 'a'].flatMap((module) => [`${module}.lora_A.weight`, `${module}.lora_B.weight`]);
    expect(groupLoraTensors(names).map((group) => group.module)).toEqual(['b', 'a']);
  });

  it.each<[string, readonly string[], string, RegExp]>([
    ['no tensors', [], 'invalid_adapter', /no tensors/],
    ['A without B', [`${Q}.lora_A.weight`], 'invalid_adapter', /incomplete: it has only .*lora_A/],
    ['B without A', [`${Q}.lora_B.weight`], 'invalid_adapter', /incomplete/],
    ['a bias alone', [`${Q}.lora_B.bias`], 'invalid_adapter', /incomplete/],
    ['a magnitude alone', [`${Q}.lora_magnitude_vector`], 'invalid_adapter', /incomplete/],
    ['half an embedding', ['e.lora_embedding_A'], 'invalid_adapter', /incomplete/],
    [
      'Linear and embedding at one module',
      ['e.lora_embedding_A', 'e.lora_embedding_B', 'e.lora_A.weight'],
      'invalid_adapter',
      /Linear and of an embedding/,
    ],
    [
      'a part twice, with and without prefix',
      [`${Q}.lora_A.weight`, `base_model.model.${Q}.lora_A.weight`],
      'invalid_adapter',
      /same part/,
    ],
    ['a part twice, with and without adapter name', [`${Q}.lora_A.weight`, `${Q}.lora_A.default.weight`], 'invalid_adapter', /same part/],
    ['a third matrix', [`${Q}.lora_C.weight`], 'invalid_adapter', /lora_C.*not one of a LoRA adapter/],
    ['a bias of A', [`${Q}.lora_A.bias`], 'invalid_adapter', /not one of a LoRA adapter/],
    ['another adapter name', [`${Q}.lora_A.other.weight`], 'invalid_adapter', /not one of a LoRA adapter/],
    ['no module', ['lora_A.weight'], 'invalid_adapter', /only full weights/],
    ['an empty module', ['.lora_A.weight'], 'invalid_adapter', /not a module path/],
    ['a module with a path in it', ['../x.lora_A.weight'], 'invalid_adapter', /not a module path/],
    ['a module with empty components', ['a..b.lora_A.weight'], 'invalid_adapter', /not a module path/],
    ['IA3', [`${Q}.ia3_l`], 'invalid_adapter', /not one of a LoRA adapter/],
    ['full weights alone', ['model.embed_tokens.weight', 'lm_head.weight'], 'invalid_adapter', /only full weights/],
    ['a full weight twice', ['lm_head.weight', 'base_model.model.lm_head.base_layer.weight'], 'invalid_adapter', /same part/],
    ['a full weight and half a LoRA', ['lm_head.weight', 'lm_head.lora_A.weight'], 'invalid_adapter', /incomplete/],
    ['a wrapped bias without LoRA', ['lm_head.base_layer.bias'], 'invalid_adapter', /PEFT reads bias for this module/],
    [
      'a bare base bias beside LoRA',
      [`${Q}.lora_A.weight`, `${Q}.lora_B.weight`, `${Q}.bias`],
      'invalid_adapter',
      /PEFT reads base_layer.bias for this module/,
    ],
    [
      'a bias of an embedding',
      ['e.lora_embedding_A', 'e.lora_embedding_B', 'e.base_layer.bias'],
      'invalid_adapter',
      /incomplete: it has only/,
    ],
    [
      'rows beside LoRA',
      ['lm_head.lora_A.weight', 'lm_head.lora_B.weight', 'lm_head.token_adapter.trainable_tokens_delta'],
      'invalid_adapter',
      /single rows/,
    ],
    ['rows beside a weight', ['lm_head.weight', 'lm_head.token_adapter.trainable_tokens_delta'], 'invalid_adapter', /single rows/],
    ['the weight that rows replace', ['lm_head.token_adapter.base_layer.weight'], 'unsupported_adapter', /full weight of the base model/],
    ['the base of a Linear', [`base_model.model.${Q}.base_layer.weight`], 'unsupported_adapter', /copies of embed_tokens and lm_head/],
  ])('refuses %s', (_, names, code, message) => {
    const refusal = outcomeOf(() => groupLoraTensors(names)).error;
    expect(refusal).toBeInstanceOf(AppError);
    expect(refusal).toMatchObject({ code, message: expect.stringMatching(message) as string });
  });

  it('accounts for every name or refuses', () => {
    const part = fc.constantFrom(
      'lora_A',
      'lora_B',
      'weight',
      'bias',
      'default',
      'base_layer',
      'lora_embedding_A',
      'lora_embedding_B',
      'lora_magnitude_vector',
      'm',
      'lm_head',
      '',
    );
    const name = fc.array(part, { maxLength: 5 }).map((parts) => parts.join('.'));
    fc.assert(
      fc.property(fc.array(name, { maxLength: 5 }), (names) => {
        const { value: groups = [], error } = outcomeOf(() => groupLoraTensors(names));
        const used = groups.flatMap(({ form: _form, module: _module, ...tensors }) => Object.values(tensors));
        expect(error instanceof AppError || isDeepStrictEqual(used.toSorted(), names.toSorted())).toBe(true);
      }),
      { numRuns: 2000, seed: 9 },
    );
  });
});
