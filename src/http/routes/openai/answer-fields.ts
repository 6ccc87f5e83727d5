// Parts of answers that completions and chat share: usage, finish reasons, ids, and the framing of a failure inside a stream.
import { randomUUID } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import type { EndCause } from '../../generation/choice.ts';
import type { GenerationSession } from '../../generation/session.ts';
import { toAppError } from '../../plugins/error-handler.ts';
import { sseData } from '../../sse.ts';
import { renderError } from '../../surface.ts';

export const Usage = Type.Object({
  prompt_tokens: Type.Integer(),
  completion_tokens: Type.Integer(),
  total_tokens: Type.Integer(),
  prompt_tokens_details: Type.Object({ cached_tokens: Type.Integer() }),
});

export const FinishReason = Type.Union([Type.Literal('stop'), Type.Literal('length')]);

export const STREAM_DONE = sseData('[DONE]');

export function usageOf(promptTokens: number, session: GenerationSession) {
  const completionTokens = session.generatedTokens;
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: session.cachedTokens },
  };
}

export function finishReason(end: EndCause): 'stop' | 'length' {
  return end === 'length' ? 'length' : 'stop';
}

export interface AnswerHead {
  readonly id: string;
  /** Seconds since the epoch. */
  readonly created: number;
  readonly model: string;
}

export function answerHead(prefix: string, nowMs: number, model: string): AnswerHead {
  return { id: `${prefix}-${randomUUID().replaceAll('-', '')}`, created: Math.floor(nowMs / 1000), model };
}

/** OpenAI's SDK throws on a data event with `error`, so the failure is that and nothing follows it. */
export function streamFailure(request: FastifyRequest): (error: unknown) => readonly string[] {
  return (error) => [sseData(renderError(toAppError(error, request), 'openai').body)];
}
