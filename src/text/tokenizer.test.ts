import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createTokenizer } from './tokenizer.ts';
import { tokenizerFromGguf } from './tokenizer-from-gguf.ts';
import type { TokenizerDefinition } from './tokenizer-definition.ts';

interface ByteLevelFixture {
  readonly metadata: Record<string, unknown>;
  readonly texts: readonly string[];
  readonly ids: Record<string, readonly (readonly number[])[]>;
}

interface SentencePieceFixture {
  readonly metadata: Record<string, unknown>;
  readonly merges: readonly (readonly [string, string])[];
  readonly texts: readonly string[];
  readonly ids: readonly (readonly number[])[];
  readonly decoded: readonly string[];
}

function readFixture(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`../../test/fixtures/tokenizer/${name}`, import.meta.url), 'utf8'));
}

const byteLevel = readFixture('byte-level.json') as ByteLevelFixture;
const sentencePiece = readFixture('sentencepiece.json') as SentencePieceFixture;

function definitionOf(metadata: Record<string, unknown>): TokenizerDefinition {
  return tokenizerFromGguf(new Map(Object.entries(metadata)));
}

const smollmDefinition = definitionOf({ ...byteLevel.metadata, 'tokenizer.ggml.pre': 'smollm' });
const smollm = createTokenizer(smollmDefinition);
const llama2 = createTokenizer(definitionOf(sentencePiece.metadata));

/** A copy of the small byte-level tokenizer.json with some parts replaced. */
function withParts(parts: Record<string, unknown>): TokenizerDefinition {
  return { ...smollmDefinition, tokenizerJson: { ...smollmDefinition.tokenizerJson, ...parts } };
}

describe('a byte-level tokenizer', () => {
  it.each(Object.keys(byteLevel.ids))('gives the ids of the Python tokenizers with the pre-tokenizer %s', (pre) => {
    const tokenizer = createTokenizer(definitionOf({ ...byteLevel.metadata, 'tokenizer.ggml.pre': pre }));
    expect(byteLevel.texts.map((text) => tokenizer.encode(text))).toEqual(byteLevel.ids[pre]);
  });

  it('gives every text back, special tokens included', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (text) => {
        expect(smollm.decode(smollm.encode(text), { skipSpecial: false })).toBe(text);
      }),
      { seed: 7 },
    );
  });

  it('skips special tokens when decoding unless asked not to', () => {
    const ids = smollm.encode('<|im_start|>a bird<|im_end|>');
    expect(smollm.decode(ids)).toBe('a bird');
    expect(smollm.decode(ids, { skipSpecial: false })).toBe('<|im_start|>a bird<|im_end|>');
  });

  it('takes a lone surrogate for U+FFFD', () => {
    expect(smollm.encode('a\uD800b')).toEqual(smollm.encode('a\uFFFDb'));
  });

  it('gives the raw bytes of a token, and the written form of a special one', () => {
    const euro = smollm.encode('€');
    expect(Buffer.concat(euro.map((id) => smollm.tokenBytes(id)))).toEqual(Buffer.from('€'));
    expect(Buffer.from(smollm.tokenBytes(1)).toString()).toBe('<|im_start|>');
  });

  it('turns bytes that are no UTF-8 into U+FFFD', () => {
    const [first] = smollm.encode('é').slice(-1);
    expect(smollm.decode([first ?? -1])).toBe('\uFFFD');
  });

  it('refuses an id outside the vocabulary', () => {
    expect(() => smollm.decode([560])).toThrow('Token id 560 does not exist; the vocabulary has the ids 0 to 559.');
  });
});

describe('a SentencePiece tokenizer', () => {
  it('has the merges of the converter in transformers', () => {
    const model = definitionOf(sentencePiece.metadata).tokenizerJson['model'];
    expect(model).toMatchObject({ merges: sentencePiece.merges });
  });

  it('gives the ids and texts of the Python tokenizers', () => {
    expect(sentencePiece.texts.map((text) => llama2.encode(text))).toEqual(sentencePiece.ids);
    expect(sentencePiece.ids.map((ids) => llama2.decode(ids))).toEqual(sentencePiece.decoded);
  });

  it('gives the byte of a byte token and a space for U+2581', () => {
    expect(llama2.tokenBytes(3 + 0x0a)).toEqual(Uint8Array.of(0x0a));
    expect(Buffer.from(llama2.tokenBytes(llama2.encode('the')[0] ?? -1)).toString()).toMatch(/^ /);
  });

  it('drops the one leading space that encoding puts there', () => {
    expect(llama2.decode(llama2.encode('bird'))).toBe('bird');
    expect(llama2.decode(llama2.encode('  bird'))).toBe('  bird');
  });
});

describe('createTokenizer', () => {
  it.each([
    [{ model: null }, 'tokenizer.json has no "model" object'],
    [{ model: { type: 'Unigram', vocab: [] } }, 'its model is of type "Unigram"; supported is "BPE"'],
    [{ model: { type: 'BPE', vocab: { a: 0, b: 0 }, merges: [] } }, 'model.vocab uses id 0 twice'],
    [{ model: { type: 'BPE', vocab: { a: -1 }, merges: [] } }, 'model.vocab gives token "a" the id -1'],
    [{ model: { type: 'BPE', vocab: { a: 0 }, merges: [['a']] } }, 'model.merges holds ["a"]'],
    [{ model: { type: 'BPE', vocab: {}, merges: [] } }, 'model.vocab is empty'],
    [{ model: { type: 'BPE', vocab: { a: 0 }, merges: [], unk_token: 'u' } }, 'model.unk_token "u" is not in its vocabulary'],
    [{ added_tokens: [{ id: 1, content: '' }] }, 'added token 1 has no text'],
    [{ added_tokens: [{ id: 1, content: 'x', single_word: true }] }, 'added token "x" has single_word'],
    [{ pre_tokenizer: { type: 'UnicodeScripts' } }, 'pre_tokenizer "UnicodeScripts" is not supported'],
    [{ pre_tokenizer: { type: 'Split', pattern: { String: ' ' }, behavior: 'MergedWithPrevious' } }, 'behavior "MergedWithPrevious"'],
    [{ pre_tokenizer: { type: 'ByteLevel', add_prefix_space: true } }, 'ByteLevel with add_prefix_space'],
    [{ normalizer: { type: 'Precompiled' } }, 'normalizer "Precompiled" is not supported'],
    [{ decoder: null }, 'it has no decoder'],
    [{ decoder: { type: 'WordPiece' } }, 'decoder WordPiece is not supported'],
  ])('refuses %j by name', (parts, message) => {
    expect(() => createTokenizer(withParts(parts))).toThrow(message);
  });

  it('refuses an end token outside the vocabulary', () => {
    expect(() => createTokenizer({ ...smollmDefinition, eosTokenId: 560 })).toThrow(
      'eosTokenId is 560; the vocabulary has the ids 0 to 559',
    );
  });
});
