// One streamed completion over HTTP with the time of each of its tokens, as its client sees them.
import type { Api } from '../../support/api.ts';

export interface StreamWish {
  /** Adapter reference or base id. */
  readonly model: string;
  readonly prompt: readonly number[];
  readonly outputTokens: number;
}

export interface StreamTimes {
  readonly sentAtMs: number;
  /** One a token; on the clock of `performance.now()`. */
  readonly tokenAtMs: readonly number[];
}

/**
 * Rejects when the answer is an error, breaks off, or has not exactly the tokens that were asked for; after an abort it answers what came.
 * `onToken` hears how many came so far.
 */
export async function timedStream(
  api: Api,
  { model, prompt, outputTokens }: StreamWish,
  options: { readonly signal?: AbortSignal; readonly onToken?: (count: number) => void } = {},
): Promise<StreamTimes> {
  const { signal, onToken } = options;
  const sentAtMs = performance.now();
  const tokenAtMs: number[] = [];
  try {
    // Log probabilities make an event of every token, also of one that is only part of a character.
    const body = { model, prompt, max_tokens: outputTokens, temperature: 0, ignore_eos: true, logprobs: 0 };
    for await (const atMs of eventTimes(api, body, signal)) {
      tokenAtMs.push(atMs);
      onToken?.(tokenAtMs.length);
    }
  } catch (error) {
    if (signal?.aborted === true) return { sentAtMs, tokenAtMs };
    throw error;
  }
  if (tokenAtMs.length !== outputTokens) throw new Error(`the stream ended after ${tokenAtMs.length} of ${outputTokens} tokens`);
  return { sentAtMs, tokenAtMs };
}

/** When each event of a streamed completion came. Throws when one is an error, or the stream ends without [DONE]. */
export async function* eventTimes(api: Api, body: Readonly<Record<string, unknown>>, signal?: AbortSignal): AsyncGenerator<number> {
  const { events } = await api.streamCompletion(body, signal);
  let isDone = false;
  for await (const data of events) {
    if (data.startsWith('{"error"')) throw new Error(`the stream failed: ${data}`);
    isDone = data === '[DONE]';
    if (!isDone) yield performance.now();
  }
  if (!isDone) throw new Error('the stream ended without [DONE]');
}

export function firstTokenMs({ sentAtMs, tokenAtMs }: StreamTimes): number {
  return (tokenAtMs[0] ?? NaN) - sentAtMs;
}

/** Times between tokens, of those that came in `[fromMs, toMs)`. */
export function tokenGapsMs({ tokenAtMs }: StreamTimes, fromMs = -Infinity, toMs = Infinity): readonly number[] {
  return tokenAtMs.flatMap((atMs, index) => {
    const previous = tokenAtMs[index - 1];
    return previous === undefined || atMs < fromMs || atMs >= toMs ? [] : [atMs - previous];
  });
}
