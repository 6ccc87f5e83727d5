// OpenAI's two shapes of log probabilities: parallel arrays for completions, a list of records for chat.
import { Type, type Static } from 'typebox';
import type { TokenLogprob } from '../../../engine/index.ts';
import type { Tokenizer } from '../../../text/index.ts';
import type { Prompt } from '../../generation/prompt.ts';
import { OffsetCounter, tokenText } from '../../generation/token-text.ts';

/** JSON has no infinity; vLLM writes the same floor. */
const LOWEST_LOGPROB = -9999;

const nullableNumber = Type.Union([Type.Number(), Type.Null()]);
const topMap = Type.Object({}, { additionalProperties: Type.Number() });

export const CompletionLogprobs = Type.Object({
  tokens: Type.Array(Type.String()),
  token_logprobs: Type.Array(nullableNumber),
  top_logprobs: Type.Array(Type.Union([topMap, Type.Null()])),
  text_offset: Type.Array(Type.Integer()),
});
export interface CompletionLogprobs {
  tokens: string[];
  token_logprobs: (number | null)[];
  top_logprobs: (Record<string, number> | null)[];
  text_offset: number[];
}

const chatEntry = { token: Type.String(), logprob: Type.Number(), bytes: Type.Array(Type.Integer()) };
export const ChatLogprob = Type.Object({ ...chatEntry, top_logprobs: Type.Array(Type.Object(chatEntry)) });
export type ChatLogprob = Static<typeof ChatLogprob>;

/** How tokens are written: as their text, or as "token_id:17" where texts could be ambiguous. */
export interface TokenNaming {
  readonly tokenizer: Tokenizer;
  readonly asIds: boolean;
}

function tokenName(naming: TokenNaming, tokenId: number): string {
  return naming.asIds ? `token_id:${tokenId}` : tokenText(naming.tokenizer, tokenId);
}

function finite(logprob: number): number {
  return Math.max(logprob, LOWEST_LOGPROB);
}

/** Writes the arrays of one choice, part by part; offsets count from the beginning of the choice's `text`. */
export class CompletionLogprobsWriter {
  readonly #naming: TokenNaming;
  readonly #promptOffsets: OffsetCounter;
  readonly #offsets: OffsetCounter;

  /** `start`: length of the echoed prompt within the choice's text, 0 without echo. */
  constructor(naming: TokenNaming, start: number) {
    this.#naming = naming;
    this.#promptOffsets = new OffsetCounter(naming.tokenizer, { start: 0, countSpecial: true });
    this.#offsets = new OffsetCounter(naming.tokenizer, { start, countSpecial: false });
  }

  prompt({ tokenIds, hasImpliedBos }: Prompt, values: readonly (TokenLogprob | null)[]): CompletionLogprobs {
    const entry = (tokenId: number, index: number): CompletionLogprobs => {
      const offset = index === 0 && hasImpliedBos ? 0 : this.#promptOffsets.next(tokenId).offset;
      return this.#entry(offset, tokenId, values[index] ?? null);
    };
    return joinLogprobs(tokenIds.map(entry));
  }

  token(tokenId: number, value: TokenLogprob | null): CompletionLogprobs {
    return this.#entry(this.#offsets.next(tokenId).offset, tokenId, value);
  }

  #entry(offset: number, tokenId: number, value: TokenLogprob | null): CompletionLogprobs {
    const name = tokenName(this.#naming, tokenId);
    return {
      tokens: [name],
      token_logprobs: [value === null ? null : finite(value.logprob)],
      top_logprobs: [value === null ? null : this.#top(name, value)],
      text_offset: [offset],
    };
  }

  /** Two tokens may have one name (parts of characters); the likelier one, which comes first, keeps it. */
  #top(name: string, value: TokenLogprob): Record<string, number> {
    const entries = new Map<string, number>();
    for (const [tokenId, logprob] of value.top) {
      const topName = tokenName(this.#naming, tokenId);
      if (!entries.has(topName)) entries.set(topName, finite(logprob));
    }
    if (!entries.has(name)) entries.set(name, finite(value.logprob));
    return Object.fromEntries(entries);
  }
}

export function joinLogprobs(parts: readonly CompletionLogprobs[]): CompletionLogprobs {
  return {
    tokens: parts.flatMap((part) => part.tokens),
    token_logprobs: parts.flatMap((part) => part.token_logprobs),
    top_logprobs: parts.flatMap((part) => part.top_logprobs),
    text_offset: parts.flatMap((part) => part.text_offset),
  };
}

export function chatLogprob(naming: TokenNaming, tokenId: number, value: TokenLogprob): ChatLogprob {
  const entry = (id: number, logprob: number) => ({
    token: tokenName(naming, id),
    logprob: finite(logprob),
    bytes: [...naming.tokenizer.tokenBytes(id)],
  });
  return { ...entry(tokenId, value.logprob), top_logprobs: value.top.map(([id, logprob]) => entry(id, logprob)) };
}
