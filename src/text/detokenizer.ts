// Token ids to text as they arrive: characters that a token leaves unfinished wait for the next one. Knows no stop strings.
import type { IncrementalDetokenizer, Tokenizer } from './port.ts';

export interface DetokenizerOptions {
  /** The tokens continue a text that the reader has already: a leading space belongs to them. Default false, as in Tokenizer.decode. */
  readonly continuesText?: boolean;
}

/**
 * Everything pushed and flushed, joined, equals `tokenizer.decode(ids)`: special tokens give no text.
 * With `continuesText` it equals what decoding prompt and ids together adds to the prompt's own text.
 */
export function createDetokenizer(tokenizer: Tokenizer, options: DetokenizerOptions = {}): IncrementalDetokenizer {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let dropsNextSpace = tokenizer.dropsLeadingSpace === true && options.continuesText !== true;

  function emit(text: string): string {
    if (!dropsNextSpace || text === '') return text;
    dropsNextSpace = false;
    return text.startsWith(' ') ? text.slice(1) : text;
  }

  return {
    push: (tokenId) => (tokenizer.isSpecial(tokenId) ? '' : emit(decoder.decode(tokenizer.tokenBytes(tokenId), { stream: true }))),
    flush: () => emit(decoder.decode()),
  };
}
