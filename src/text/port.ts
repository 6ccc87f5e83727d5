// Contracts of the text room: text to token ids and back.

export interface Tokenizer {
  readonly vocabularySize: number;
  /** Adds no special tokens; special tokens written out in the text are recognised. */
  encode(text: string): number[];
  /** Skips special tokens unless asked not to. Invalid UTF-8 becomes U+FFFD. */
  decode(tokenIds: readonly number[], options?: { readonly skipSpecial?: boolean }): string;
  /** Raw bytes of a token (special tokens: their written form in UTF-8). */
  tokenBytes(tokenId: number): Uint8Array;
  isSpecial(tokenId: number): boolean;
  readonly eosTokenId: number;
  readonly bosTokenId: number | null;
  /** Whether the model's own convention puts BOS before plain text. */
  readonly addBos: boolean;
  /** Decoding drops one leading space, which encoding had put before the text (SentencePiece). Absent means false. */
  readonly dropsLeadingSpace?: boolean;
}

export interface ChatMessage {
  readonly role: string;
  readonly content: string;
  readonly name?: string;
}

export interface ChatTemplate {
  /** Throws AppError invalid_request with the template's own message when it refuses the conversation. */
  render(messages: readonly ChatMessage[], options: { readonly addGenerationPrompt: boolean }): string;
}

/** Turns a stream of token ids into text without ever emitting half a character. */
export interface IncrementalDetokenizer {
  /** Text that became certain with this token; may be empty. */
  push(tokenId: number): string;
  /** What is left at the end; incomplete bytes become U+FFFD. */
  flush(): string;
}

/** Watches text for stop strings that may lie across pieces. */
export interface StopMatcher {
  /** `text` may be shown now. `stopped` is the stop string that was found; the text then ends before it. */
  push(piece: string): { readonly text: string; readonly stopped: string | null };
  /** Text held back because it could have begun a stop string. */
  flush(): string;
}
