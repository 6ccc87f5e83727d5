// Greedy streams of token ids through /v1/completions: what load tests run beside the thing that they test.
import type { Api, Completion } from './api.ts';
import { tokenIdOf } from './parity.ts';

export interface TokenStream {
  readonly adapterId: string | null;
  readonly tokenIds: readonly number[];
  /** The `error` object of an error event, if one ended the stream. */
  readonly error: { readonly code?: string; readonly message?: string } | null;
  /** `[DONE]` came. */
  readonly isDone: boolean;
}

export interface StreamWish {
  readonly model: string;
  readonly prompt: readonly number[];
  readonly tokenCount: number;
  /** Called with every token as it arrives. */
  readonly onToken?: () => void;
}

/** Reads one greedy stream to its end. Rejects when it is refused or its connection breaks. */
export async function streamTokens(api: Api, { model, prompt, tokenCount, onToken }: StreamWish): Promise<TokenStream> {
  const { adapterId, events } = await api.streamCompletion({
    model,
    prompt,
    max_tokens: tokenCount,
    temperature: 0,
    ignore_eos: true,
    logprobs: 0,
    return_tokens_as_token_ids: true,
  });
  const tokenIds: number[] = [];
  let error: TokenStream['error'] = null;
  let isDone = false;
  for await (const data of events) {
    if (data === '[DONE]') {
      isDone = true;
      continue;
    }
    const event = JSON.parse(data) as { choices?: readonly Completion[]; error?: TokenStream['error'] };
    if (event.error !== undefined) error = event.error;
    for (const { logprobs } of event.choices ?? []) {
      for (const token of logprobs?.tokens ?? []) {
        tokenIds.push(tokenIdOf(token));
        onToken?.();
      }
    }
  }
  return { adapterId, tokenIds, error, isDone };
}

/** As `streamTokens`, but rejects unless the stream ended well with exactly these tokens. */
export async function streamTokensOf(api: Api, wish: StreamWish, expected: readonly number[]): Promise<TokenStream> {
  const stream = await streamTokens(api, wish);
  if (stream.error !== null || !stream.isDone) throw new Error(`stream of ${wish.model} broke off: ${JSON.stringify(stream.error)}`);
  const found = stream.tokenIds.join(' ');
  if (found !== expected.join(' '))
    throw new Error(`stream of ${wish.model} (${stream.adapterId ?? 'base'}): got ${found}, expected ${expected.join(' ')}`);
  return stream;
}
