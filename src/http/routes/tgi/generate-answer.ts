// Answers of the TGI surface: whole, and as a stream whose last event carries the text and the details.
import type { TokenLogprob } from '../../../engine/index.ts';
import type { EndCause } from '../../generation/choice.ts';
import type { FinishedChoice, GeneratedToken } from '../../generation/finished-choice.ts';
import { bestChoices } from '../../generation/finished-choice.ts';
import { choiceSeed } from '../../generation/sampling.ts';
import { mergeEvents } from '../../generation/merge-events.ts';
import type { GenerationSession } from '../../generation/session.ts';
import { tokenText } from '../../generation/token-text.ts';
import { sseData } from '../../sse.ts';
import type { GenerateCall } from './generate-call.ts';
import type { PrefillToken, TgiToken } from './generate-schema.ts';

/** JSON has no infinity. */
const LOWEST_LOGPROB = -9999;

export function wholeAnswer(call: GenerateCall, finished: readonly FinishedChoice[]) {
  const seeds = new Map(finished.map((choice, index) => [choice, call.seed === null ? null : choiceSeed(call.seed, index)]));
  const seedOf = (choice: FinishedChoice): number | null => seeds.get(choice) ?? null;
  const [best, ...others] = bestChoices(finished, finished.length);
  if (best === undefined) throw new Error('a generation without any choice');
  const generated_text = fullText(call, best.text);
  if (call.parameters.details !== true) return { generated_text };
  const alternatives = others.map((choice) => ({
    ...sequenceOf(call, choice, seedOf(choice)),
    generated_text: fullText(call, choice.text),
  }));
  return {
    generated_text,
    details: {
      ...sequenceOf(call, best, seedOf(best)),
      prompt_tokens: call.prompt.tokenIds.length,
      ...(alternatives.length > 0 && { best_of_sequences: alternatives }),
    },
  };
}

function fullText(call: GenerateCall, text: string): string {
  return call.parameters.return_full_text === true ? call.prompt.text + text : text;
}

/** `seed` repeats this sequence alone. */
function sequenceOf(call: GenerateCall, choice: FinishedChoice, seed: number | null) {
  const topCount = call.parameters.top_n_tokens ?? 0;
  return {
    finish_reason: finishReason(choice.end),
    generated_tokens: choice.tokens.length,
    seed,
    prefill: prefillOf(call, choice.promptLogprobs),
    tokens: choice.tokens.map((token) => tgiToken(call, token)),
    ...(topCount > 0 && { top_tokens: choice.tokens.map((token) => topTokens(call, token.logprob)) }),
  };
}

function finishReason(end: EndCause): 'length' | 'eos_token' | 'stop_sequence' {
  if (end === 'length') return 'length';
  return end === 'stop-token' ? 'eos_token' : 'stop_sequence';
}

function prefillOf(call: GenerateCall, values: readonly (TokenLogprob | null)[]): PrefillToken[] {
  if (values.length === 0) return [];
  return call.prompt.tokenIds.map((id, index) => ({
    id,
    text: tokenText(call.base.tokenizer, id),
    logprob: values[index]?.logprob ?? null,
  }));
}

/** A special token shows its own name; others show the text that they added, which is empty inside a character. */
function tgiToken(call: GenerateCall, token: GeneratedToken): TgiToken {
  const { tokenizer } = call.base;
  const special = tokenizer.isSpecial(token.tokenId);
  const logprob = Math.max(token.logprob?.logprob ?? 0, LOWEST_LOGPROB);
  return { id: token.tokenId, text: special ? tokenText(tokenizer, token.tokenId) : token.text, logprob, special };
}

function topTokens(call: GenerateCall, value: TokenLogprob | null): TgiToken[] {
  const { tokenizer } = call.base;
  return (value?.top ?? []).map(([id, logprob]) => ({
    id,
    text: tokenText(tokenizer, id),
    logprob: Math.max(logprob, LOWEST_LOGPROB),
    special: tokenizer.isSpecial(id),
  }));
}

/** Closes the session when it ends, however it ends. */
export async function* streamAnswer(call: GenerateCall, session: GenerationSession): AsyncGenerator<string> {
  const topCount = call.parameters.top_n_tokens ?? 0;
  let text = '';
  let index = 0;
  try {
    for await (const { event } of mergeEvents(session.choices)) {
      if (event.kind !== 'token') continue;
      session.countToken();
      index += 1;
      text += event.text;
      yield sseData({
        index,
        token: tgiToken(call, event),
        ...(topCount > 0 && { top_tokens: topTokens(call, event.logprob) }),
        generated_text: event.end === null ? null : fullText(call, text),
        details: event.end === null ? null : finalDetails(call, event.end, index),
      });
    }
  } finally {
    session.close();
  }
}

/** TGI and LoRAX name the length of the prompt differently; each client wants its own. */
function finalDetails(call: GenerateCall, end: EndCause, generatedTokens: number) {
  return {
    finish_reason: finishReason(end),
    generated_tokens: generatedTokens,
    seed: call.seed,
    input_length: call.prompt.tokenIds.length,
    prompt_tokens: call.prompt.tokenIds.length,
  };
}
