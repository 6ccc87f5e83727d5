// One row of a request: engine events → text that may be shown, stop strings applied, log probabilities kept beside their token.
// Knows the engine's port and the text room; nothing of HTTP or of a response's shape.
import { AppError } from '../../core/index.ts';
import type { EngineEvent, Generation, TokenLogprob } from '../../engine/index.ts';
import { createDetokenizer, createStopMatcher, type IncrementalDetokenizer, type StopMatcher, type Tokenizer } from '../../text/index.ts';

/** Why a choice ended: a token that ends generation, a stop string, or no room for more tokens. */
export type EndCause = 'stop-token' | 'stop-string' | 'length';

export type ChoiceEvent =
  | { readonly kind: 'prompt'; readonly logprobs: readonly (TokenLogprob | null)[] }
  | {
      readonly kind: 'token';
      readonly tokenId: number;
      /** Text that may be shown with this token: no half characters, nothing that may belong to a stop string. */
      readonly text: string;
      /** Present when the request asked for log probabilities. */
      readonly logprob: TokenLogprob | null;
      /** Set on the choice's last token; its `text` then ends the whole text. */
      readonly end: EndCause | null;
    };

export interface ChoiceOptions {
  readonly tokenizer: Tokenizer;
  readonly stops: readonly string[];
  readonly stopTokenIds: readonly number[];
  /** Exact bound that the engine was given: the token with this number is the last. */
  readonly maxNewTokens: number;
  /** The reader has text before this one, so a leading space of the first token is shown. */
  readonly continuesText: boolean;
}

/** Told to a client whose request the engine gave up without a failure, as at shutdown. */
const RETRY_AFTER_SECONDS = 2;

export class Choice {
  readonly #generation: Generation;
  readonly #options: ChoiceOptions;
  readonly #detokenizer: IncrementalDetokenizer;
  readonly #stops: StopMatcher;
  #tokenCount = 0;
  #cachedTokens = 0;

  constructor(generation: Generation, options: ChoiceOptions) {
    this.#generation = generation;
    this.#options = options;
    this.#detokenizer = createDetokenizer(options.tokenizer, { continuesText: options.continuesText });
    this.#stops = createStopMatcher(options.stops);
  }

  /** Prompt tokens that the engine had in its prefix cache; known from the first token on. */
  get cachedTokens(): number {
    return this.#cachedTokens;
  }

  /** Frees the row by the next step. Idempotent. */
  cancel(): void {
    this.#generation.cancel();
  }

  /** @throws AppError when the engine fails the request or ends it before its time. */
  async *events(): AsyncGenerator<ChoiceEvent> {
    for await (const event of this.#generation.events) {
      const shown = this.#take(event);
      if (shown !== null) yield shown;
      if (shown?.kind === 'token' && shown.end !== null) return;
      if (event.kind === 'finished') return;
    }
  }

  #take(event: EngineEvent): ChoiceEvent | null {
    switch (event.kind) {
      case 'prefix-hit':
        this.#cachedTokens = event.tokenCount;
        return null;
      case 'prompt-logprobs':
        return { kind: 'prompt', logprobs: event.values };
      case 'token':
        return this.#takeToken(event.tokenId, event.logprob ?? null);
      case 'failed':
        throw new AppError(
          event.code,
          event.message,
          event.retryAfterSeconds === undefined ? {} : { retryAfterSeconds: event.retryAfterSeconds },
        );
      case 'finished':
        this.#checkFinish(event.reason);
        return null;
    }
  }

  #takeToken(tokenId: number, logprob: TokenLogprob | null): ChoiceEvent {
    this.#tokenCount += 1;
    const natural = this.#naturalEnd(tokenId);
    // A token that ends generation is reported but is no part of the text, whether it is special or not.
    const piece = this.#stops.push(natural === 'stop-token' ? '' : this.#detokenizer.push(tokenId));
    if (piece.stopped !== null) {
      this.cancel();
      return { kind: 'token', tokenId, logprob, text: piece.text, end: 'stop-string' };
    }
    if (natural === null) return { kind: 'token', tokenId, logprob, text: piece.text, end: null };
    const rest = this.#stops.push(this.#detokenizer.flush());
    const text = piece.text + rest.text + (rest.stopped === null ? this.#stops.flush() : '');
    return { kind: 'token', tokenId, logprob, text, end: rest.stopped === null ? natural : 'stop-string' };
  }

  #naturalEnd(tokenId: number): EndCause | null {
    if (this.#options.stopTokenIds.includes(tokenId)) return 'stop-token';
    return this.#tokenCount >= this.#options.maxNewTokens ? 'length' : null;
  }

  /** The last token carries the end, so `finished` alone is expected only after a request for no new tokens. */
  #checkFinish(reason: string): void {
    if (this.#options.maxNewTokens === 0 && reason !== 'cancelled') return;
    throw new AppError('engine_unavailable', 'the generation was ended before it was complete; try again', {
      retryAfterSeconds: RETRY_AFTER_SECONDS,
    });
  }
}
