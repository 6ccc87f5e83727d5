// A completion request decided: which prompts, how many rows, which log probabilities. Both forms of the answer build on it.
import { AppError } from '../../../core/index.ts';
import type { Grammar } from '../../../text/index.ts';
import { newTokenCount, promptFromText, promptFromTokenIds, type Prompt } from '../../generation/prompt.ts';
import { randomSeed } from '../../generation/sampling.ts';
import type { GenerationSpec } from '../../generation/session.ts';
import type { AppServices, ServedBase } from '../../services.ts';
import type { AnswerHead } from './answer-fields.ts';
import type { CompletionBody } from './completions-schema.ts';
import { CompletionLogprobsWriter } from './logprobs.ts';
import { checkRowCount, samplingOf, stopsOf, stopTokenIdsOf } from './request-fields.ts';

const DEFAULT_NEW_TOKENS = 16;

/** A completion request with everything decided that both forms of the answer need. */
export interface CompletionCall {
  readonly base: ServedBase;
  readonly body: CompletionBody;
  readonly prompts: readonly Prompt[];
  /** Choices that are sent for each prompt. */
  readonly n: number;
  readonly head: AnswerHead;
}

/** Refuses fields that contradict each other. */
export function checkCombinations(body: CompletionBody): void {
  const n = body.n ?? 1;
  const bestOf = body.best_of ?? n;
  if (bestOf < n)
    throw new AppError('invalid_request', `"best_of": got ${bestOf}, expected at least n, which is ${n}`, { param: 'best_of' });
  if (body.stream === true && bestOf > n) {
    throw new AppError('invalid_request', `"best_of": got ${bestOf} with stream, expected no more than n, which is ${n}`, {
      param: 'best_of',
    });
  }
  if (body.max_tokens === 0 && body.echo !== true) {
    throw new AppError('invalid_request', '"max_tokens": got 0, expected at least 1 (0 is possible with echo)', { param: 'max_tokens' });
  }
  if (body.stream_options !== undefined && body.stream !== true) {
    throw new AppError('invalid_request', '"stream_options": expected only together with stream', { param: 'stream_options' });
  }
}

export function promptsOf(base: ServedBase, body: CompletionBody): readonly Prompt[] {
  const { prompt } = body;
  const list = typeof prompt === 'string' || typeof prompt[0] === 'number' ? [prompt] : prompt;
  return list.map((item) => {
    if (typeof item === 'string') return promptFromText(base, item, 'prompt');
    return promptFromTokenIds(base, [item].flat().map(Number), 'prompt');
  });
}

export function specOf(services: AppServices, body: CompletionBody, prompts: readonly Prompt[], grammar: Grammar | null): GenerationSpec {
  const { base } = services;
  const choicesPerPrompt = body.best_of ?? body.n ?? 1;
  checkRowCount(prompts.length, choicesPerPrompt, 'prompt');
  const wish = { asked: body.max_tokens, standard: DEFAULT_NEW_TOKENS, param: 'max_tokens' };
  const needsRanking = choicesPerPrompt > (body.n ?? 1);
  const logprobs = body.logprobs ?? null;
  return {
    prompts,
    choicesPerPrompt,
    maxNewTokens: prompts.map((prompt) => newTokenCount(base, prompt.tokenIds.length, wish)),
    output: 'continuation',
    stops: stopsOf(body),
    stopTokenIds: stopTokenIdsOf(base, body),
    sampling: samplingOf(base, body),
    grammar,
    seed: body.seed ?? randomSeed(services.random),
    logprobs: needsRanking ? (logprobs ?? 0) : logprobs,
    // The engine takes a request for no new tokens only to score the prompt.
    promptLogprobs: body.echo === true && (logprobs !== null || body.max_tokens === 0) ? (logprobs ?? 0) : null,
  };
}

/** A writer for one choice of a prompt. */
export function logprobsWriter(call: CompletionCall, prompt: Prompt): CompletionLogprobsWriter {
  const naming = { tokenizer: call.base.tokenizer, asIds: call.body.return_tokens_as_token_ids === true };
  return new CompletionLogprobsWriter(naming, call.body.echo === true ? prompt.text.length : 0);
}
