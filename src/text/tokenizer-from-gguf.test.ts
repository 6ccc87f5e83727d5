import { describe, expect, it } from 'vitest';
import { tokenizerFromGguf } from './tokenizer-from-gguf.ts';

const small = {
  'tokenizer.ggml.model': 'gpt2',
  'tokenizer.ggml.pre': 'smollm',
  'tokenizer.ggml.tokens': ['<|end|>', '<user>', 'a', 'b', '__proto__', 'ab'],
  'tokenizer.ggml.token_type': [3, 4, 1, 1, 1, 1],
  'tokenizer.ggml.merges': ['a b'],
  'tokenizer.ggml.eos_token_id': 0,
};

function definition(changes: Record<string, unknown> = {}) {
  return tokenizerFromGguf(new Map(Object.entries({ ...small, ...changes }).filter(([, value]) => value !== undefined)));
}

describe('tokenizerFromGguf', () => {
  it('makes control tokens special and user-defined tokens plain added tokens', () => {
    expect(definition().tokenizerJson['added_tokens']).toMatchObject([
      { id: 0, content: '<|end|>', special: true },
      { id: 1, content: '<user>', special: false },
    ]);
  });

  it('keeps a token that is called like a property of every object', () => {
    const model = definition().tokenizerJson['model'] as { vocab: object };
    expect(Object.entries(model.vocab)).toContainEqual(['__proto__', 4]);
  });

  it('parts a merge at the first space after its first character', () => {
    const model = definition({ 'tokenizer.ggml.merges': ['a b', '  b'] }).tokenizerJson['model'];
    expect(model).toMatchObject({
      merges: [
        ['a', 'b'],
        [' ', 'b'],
      ],
    });
  });

  it.each([
    ['smollm', {}, false],
    ['llama-bpe', {}, true],
    ['llama-bpe', { 'tokenizer.ggml.add_bos_token': false }, false],
    ['smollm', { 'tokenizer.ggml.add_bos_token': true }, true],
  ])('puts BOS before text as %s %j does', (pre, changes, expected) => {
    expect(definition({ 'tokenizer.ggml.pre': pre, 'tokenizer.ggml.bos_token_id': 0, ...changes }).addBos).toBe(expected);
  });

  it('puts no BOS before text when the model has none', () => {
    expect(definition({ 'tokenizer.ggml.add_bos_token': true })).toMatchObject({ addBos: false, bosTokenId: null });
  });

  it.each([
    [{ 'tokenizer.ggml.pre': 'my-own' }, 'GGUF pre-tokenizer "my-own" is not known (known: default, gpt-2'],
    [{ 'tokenizer.ggml.pre': 7n }, 'GGUF pre-tokenizer 7 is not known'],
    [{ 'tokenizer.ggml.model': 'bert' }, 'GGUF tokenizer "bert" is not supported (supported: gpt2, llama)'],
    [{ 'tokenizer.ggml.model': undefined }, 'no tokenizer.ggml.model; import the model from its Hugging Face directory'],
    [{ 'tokenizer.ggml.tokens': undefined }, 'no list tokenizer.ggml.tokens'],
    [{ 'tokenizer.ggml.tokens': [1] }, 'tokenizer.ggml.tokens holds values of the wrong type'],
    [{ 'tokenizer.ggml.token_type': [3] }, 'tokenizer.ggml.token_type has 1 entries for 6 tokens'],
    [{ 'tokenizer.ggml.tokens': ['a', 'a', 'b', 'c', 'd', 'e'] }, 'tokenizer.ggml.tokens holds 1 tokens twice'],
    [{ 'tokenizer.ggml.merges': ['ab'] }, 'tokenizer.ggml.merges holds "ab"; expected two tokens and a space'],
    [{ 'tokenizer.ggml.eos_token_id': undefined }, 'no tokenizer.ggml.eos_token_id'],
    [{ 'tokenizer.ggml.add_bos_token': 1 }, 'tokenizer.ggml.add_bos_token is 1; expected true or false'],
  ])('refuses %o', (changes, message) => {
    expect(() => definition(changes)).toThrow(message);
  });
});
