// Prompt text and token ids → the token ids that the engine gets, and how many new tokens fit after them. Bounded before any tokenizing.
import { AppError } from '../../core/index.ts';
import { LIMITS } from '../limits.ts';
import type { ServedBase } from '../services.ts';

/** A prompt ready for the engine, with the text that stands for it when it is echoed. */
export interface Prompt {
  readonly tokenIds: readonly number[];
  readonly text: string;
  /** Its first token is a BOS that the text does not hold. */
  readonly hasImpliedBos: boolean;
}

/**
 * Tokenizes a text with the model's own convention for BOS.
 * @throws AppError `context_length_exceeded` before tokenizing when the text cannot fit, `invalid_request` when it has no token.
 */
export function promptFromText(base: ServedBase, text: string, param: string, options: { readonly bos: boolean } = { bos: true }): Prompt {
  const characterLimit = base.maxContext * LIMITS.charactersPerPosition;
  if (text.length > characterLimit) {
    const message = `"${param}": got ${text.length} characters, expected at most ${characterLimit} for a context of ${base.maxContext} tokens`;
    throw new AppError('context_length_exceeded', message, { param });
  }
  const { tokenizer } = base;
  const encoded = tokenizer.encode(text);
  const bos = options.bos && tokenizer.addBos ? tokenizer.bosTokenId : null;
  const tokenIds = bos === null ? encoded : [bos, ...encoded];
  if (tokenIds.length === 0)
    throw new AppError('invalid_request', `"${param}": got an empty prompt, expected at least one token`, { param });
  return { tokenIds, text, hasImpliedBos: bos !== null };
}

/** @throws AppError `invalid_request` for an empty list or an id outside the vocabulary. */
export function promptFromTokenIds(base: ServedBase, tokenIds: readonly number[], param: string): Prompt {
  if (tokenIds.length === 0)
    throw new AppError('invalid_request', `"${param}": got an empty prompt, expected at least one token`, { param });
  const outside = tokenIds.find((id) => id >= base.vocabularySize);
  if (outside !== undefined) {
    throw new AppError('invalid_request', `"${param}": got token id ${outside}, expected ids below ${base.vocabularySize}`, { param });
  }
  return { tokenIds, text: base.tokenizer.decode(tokenIds, { skipSpecial: false }), hasImpliedBos: false };
}

/** Keeps the last `tokenCount` tokens, as TGI's `truncate` does. */
export function truncated(base: ServedBase, prompt: Prompt, tokenCount: number): Prompt {
  if (prompt.tokenIds.length <= tokenCount) return prompt;
  const tokenIds = prompt.tokenIds.slice(-tokenCount);
  return { tokenIds, text: base.tokenizer.decode(tokenIds, { skipSpecial: false }), hasImpliedBos: false };
}

export interface NewTokenWish {
  /** What the client asked for; undefined takes `standard`, cut to what fits. */
  readonly asked: number | undefined;
  /** null: to the end of the context. */
  readonly standard: number | null;
  /** How the client spells the number of new tokens. */
  readonly param: string;
}

/**
 * How many tokens may be generated after the prompt.
 * @throws AppError `context_length_exceeded` when the prompt, or prompt and asked tokens together, are over the context.
 */
export function newTokenCount(base: ServedBase, promptLength: number, wish: NewTokenWish): number {
  const room = base.maxContext - promptLength;
  const asked = wish.asked ?? Math.min(wish.standard ?? room, Math.max(room, 1));
  if (asked <= room) return asked;
  const asking = wish.asked === undefined ? '' : ` and ${wish.asked} new tokens ("${wish.param}")`;
  const message = `the context of this model is ${base.maxContext} tokens, but the request has ${promptLength} prompt tokens${asking}`;
  throw new AppError('context_length_exceeded', message, { param: wish.asked === undefined ? 'prompt' : wish.param });
}
