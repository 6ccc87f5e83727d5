// How single tokens are written in answers: their text, their bytes, and where they begin in the whole text.
import type { Tokenizer } from '../../text/index.ts';

/** A token's own text; bytes that are no whole character become U+FFFD. */
export function tokenText(tokenizer: Tokenizer, tokenId: number): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(tokenizer.tokenBytes(tokenId));
}

/** Counts the UTF-16 offset at which each token begins, also when a character is spread over several tokens. */
export class OffsetCounter {
  readonly #tokenizer: Tokenizer;
  readonly #countSpecial: boolean;
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  #offset: number;

  constructor(tokenizer: Tokenizer, options: { readonly start: number; readonly countSpecial: boolean }) {
    this.#tokenizer = tokenizer;
    this.#countSpecial = options.countSpecial;
    this.#offset = options.start;
  }

  /** Offset of the token, and the text that its bytes complete. */
  next(tokenId: number): { readonly offset: number; readonly completed: string } {
    const offset = this.#offset;
    if (!this.#countSpecial && this.#tokenizer.isSpecial(tokenId)) return { offset, completed: '' };
    const completed = this.#decoder.decode(this.#tokenizer.tokenBytes(tokenId), { stream: true });
    this.#offset += completed.length;
    return { offset, completed };
  }
}
