import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createDetokenizer } from './detokenizer.ts';
import type { Tokenizer } from './port.ts';
import { createTokenizer } from './tokenizer.ts';
import { tokenizerFromGguf } from './tokenizer-from-gguf.ts';

function load(name: string): Tokenizer {
  const text = readFileSync(new URL(`../../test/fixtures/tokenizer/${name}`, import.meta.url), 'utf8');
  const { metadata } = JSON.parse(text) as { metadata: Record<string, unknown> };
  return createTokenizer(tokenizerFromGguf(new Map(Object.entries({ 'tokenizer.ggml.pre': 'smollm', ...metadata }))));
}

const byteLevel = load('byte-level.json');
const sentencePiece = load('sentencepiece.json');

function detokenize(tokenizer: Tokenizer, tokenIds: readonly number[]): string[] {
  const detokenizer = createDetokenizer(tokenizer);
  return [...tokenIds.map((tokenId) => detokenizer.push(tokenId)), detokenizer.flush()];
}

describe.each([
  ['byte-level', byteLevel],
  ['SentencePiece', sentencePiece],
])('a detokenizer of a %s vocabulary', (_, tokenizer) => {
  const anyIds = fc.array(fc.nat(tokenizer.vocabularySize - 1), { maxLength: 60 });
  // The lowest ids are special tokens and single bytes: sequences of them break characters in every way.
  const byteIds = fc.array(fc.nat(300), { maxLength: 30 });

  it('gives the text of decode for any sequence of ids', () => {
    fc.assert(
      fc.property(fc.oneof(anyIds, byteIds), (tokenIds) => {
        expect(detokenize(tokenizer, tokenIds).join('')).toBe(tokenizer.decode(tokenIds));
      }),
      { seed: 3, numRuns: 500 },
    );
  });

  it('never emits half a character of a text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 20 }), (text) => {
        const whole = text.replaceAll('\uFFFD', '');
        expect(detokenize(tokenizer, tokenizer.encode(whole)).filter((piece) => piece.includes('\uFFFD'))).toEqual([]);
      }),
      { seed: 4 },
    );
  });
});

describe('createDetokenizer', () => {
  it('holds an unfinished character until it is whole', () => {
    const tokenIds = byteLevel.encode('🦜');
    expect(tokenIds.length).toBeGreaterThan(1);
    const pieces = detokenize(byteLevel, tokenIds);
    expect(pieces.slice(0, -2).join('')).toBe('');
    expect(pieces.at(-2)).toBe('🦜');
  });

  it('gives U+FFFD for bytes that are left at the end', () => {
    const [first = -1] = byteLevel.encode('🦜');
    const detokenizer = createDetokenizer(byteLevel);
    expect(detokenizer.push(first)).toBe('');
    expect(detokenizer.flush()).toBe('\uFFFD');
  });

  it('keeps the space between a text and its continuation', () => {
    const [first = -1] = sentencePiece.encode('the');
    expect(createDetokenizer(sentencePiece).push(first)).toMatch(/^t/);
    expect(createDetokenizer(sentencePiece, { continuesText: true }).push(first)).toMatch(/^ t/);
  });

  it('gives no text for special tokens', () => {
    expect(detokenize(byteLevel, [1, 2]).join('')).toBe('');
  });
});
