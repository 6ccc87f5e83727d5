// POST /v1/chat/completions: the base model's own chat template, then the same generation as everywhere, whole or as a stream.
import type { FastifyReply, FastifyRequest } from 'fastify';
import { AppError } from '../../../core/index.ts';
import type { Grammar } from '../../../text/index.ts';
import { OPENAI_ERRORS } from '../../error-schemas.ts';
import { finishAll, type FinishedChoice } from '../../generation/finished-choice.ts';
import { checkedGrammar } from '../../generation/grammar.ts';
import { mergeEvents } from '../../generation/merge-events.ts';
import { newTokenCount, promptFromText } from '../../generation/prompt.ts';
import { randomSeed } from '../../generation/sampling.ts';
import type { GenerationSession, GenerationSpec } from '../../generation/session.ts';
import { startGeneration } from '../../generation/start.ts';
import { LIMITS } from '../../limits.ts';
import { principalOf } from '../../plugins/auth.ts';
import type { Metrics } from '../../plugins/metrics.ts';
import { dropNullFields } from '../../plugins/null-fields.ts';
import type { App, AppServices, ServedBase } from '../../services.ts';
import { sendEvents, sseData } from '../../sse.ts';
import { answerHead, finishReason, STREAM_DONE, streamFailure, usageOf, type AnswerHead } from './answer-fields.ts';
import { ChatAnswer, ChatBody, type Message } from './chat-schema.ts';
import { chatLogprob, type ChatLogprob, type TokenNaming } from './logprobs.ts';
import { adapterOf, samplingOf, stopsOf, stopTokenIdsOf } from './request-fields.ts';
import { grammarWishes } from './structured-output.ts';

interface ChatCall {
  readonly body: ChatBody;
  readonly naming: TokenNaming;
  readonly promptTokens: number;
  readonly head: AnswerHead;
}

export function registerChatRoute(app: App, services: AppServices, metrics: Metrics): void {
  const schema = {
    tags: ['openai'],
    summary: 'Answer a conversation, with the chat template of the base model',
    body: ChatBody,
    response: { 200: ChatAnswer, ...OPENAI_ERRORS },
  };
  app.post('/v1/chat/completions', { schema, preValidation: dropNullFields }, (request, reply) =>
    chat(services, metrics, request, request.body, reply),
  );
}

async function chat(services: AppServices, metrics: Metrics, request: FastifyRequest, body: ChatBody, reply: FastifyReply) {
  checkCombinations(body);
  const { base } = services;
  let promptTokens = 0;
  const { tenant } = principalOf(request);
  const grammar = await checkedGrammar(services, tenant, grammarWishes(body), body.ignore_eos);
  const session = await startGeneration({ services, metrics, reply, tenant, adapter: adapterOf(base, body) }, () => {
    const spec = specOf(services, body, grammar);
    promptTokens = spec.prompts[0]?.tokenIds.length ?? 0;
    return spec;
  });
  const head = answerHead('chatcmpl', services.clock.now(), body.model || base.id);
  const naming = { tokenizer: base.tokenizer, asIds: body.return_tokens_as_token_ids === true };
  const call: ChatCall = { body, naming, promptTokens, head };
  try {
    if (body.stream !== true) return wholeAnswer(call, session, await finishAll(session));
    return await sendEvents(reply, streamChat(call, session), { renderFailure: streamFailure(request) });
  } catch (error) {
    session.close();
    throw error;
  } finally {
    if (body.stream !== true) session.close();
  }
}

function checkCombinations(body: ChatBody): void {
  if (body.top_logprobs !== undefined && body.logprobs !== true) {
    throw new AppError('invalid_request', '"top_logprobs": expected only together with "logprobs": true', { param: 'top_logprobs' });
  }
  if (body.stream_options !== undefined && body.stream !== true) {
    throw new AppError('invalid_request', '"stream_options": expected only together with stream', { param: 'stream_options' });
  }
  const { max_tokens: older, max_completion_tokens: newer } = body;
  if (older !== undefined && newer !== undefined && older !== newer) {
    const message = `got "max_tokens" ${older} and "max_completion_tokens" ${newer}, expected one of them, or the same in both`;
    throw new AppError('invalid_request', message, { param: 'max_completion_tokens' });
  }
}

function specOf(services: AppServices, body: ChatBody, grammar: Grammar | null): GenerationSpec {
  const { base } = services;
  const prompt = promptFromText(base, renderedConversation(base, body.messages), 'messages', { bos: false });
  const wish = {
    asked: body.max_completion_tokens ?? body.max_tokens,
    standard: null,
    param: body.max_tokens === undefined ? 'max_completion_tokens' : 'max_tokens',
  };
  return {
    prompts: [prompt],
    choicesPerPrompt: body.n ?? 1,
    maxNewTokens: [newTokenCount(base, prompt.tokenIds.length, wish)],
    output: 'answer',
    stops: stopsOf(body),
    stopTokenIds: stopTokenIdsOf(base, body),
    sampling: samplingOf(base, body),
    grammar,
    seed: body.seed ?? randomSeed(services.random),
    logprobs: body.logprobs === true ? (body.top_logprobs ?? 0) : null,
    promptLogprobs: null,
  };
}

/** The length is checked before the template runs, because a template's work grows with it. */
function renderedConversation(base: ServedBase, messages: readonly Message[]): string {
  if (base.chatTemplate === null) {
    throw new AppError('invalid_request', `the base model ${base.id} has no chat template; use /v1/completions`, { param: 'messages' });
  }
  const plain = messages.map((message) => ({
    role: message.role === 'developer' ? 'system' : message.role,
    content: typeof message.content === 'string' ? message.content : message.content.map((part) => part.text).join(''),
    ...(message.name !== undefined && { name: message.name }),
  }));
  const characters = plain.reduce((total, message) => total + message.content.length, 0);
  if (characters > base.maxContext * LIMITS.charactersPerPosition) {
    const message = `"messages": got ${characters} characters of content, which cannot fit a context of ${base.maxContext} tokens`;
    throw new AppError('context_length_exceeded', message, { param: 'messages' });
  }
  return base.chatTemplate.render(plain, { addGenerationPrompt: true });
}

function wholeAnswer(call: ChatCall, session: GenerationSession, finished: readonly FinishedChoice[]) {
  const choices = finished.map((choice, index) => {
    const content = choice.tokens.flatMap((token) =>
      token.logprob === null ? [] : [chatLogprob(call.naming, token.tokenId, token.logprob)],
    );
    return {
      index,
      message: { role: 'assistant' as const, content: choice.text, refusal: null },
      logprobs: call.body.logprobs === true ? { content, refusal: null } : null,
      finish_reason: finishReason(choice.end),
    };
  });
  return { ...call.head, object: 'chat.completion' as const, choices, usage: usageOf(call.promptTokens, session) };
}

interface Delta {
  readonly delta: { readonly role?: 'assistant'; readonly content?: string };
  readonly logprobs?: { readonly content: readonly ChatLogprob[]; readonly refusal: null } | null;
  readonly finish_reason: 'stop' | 'length' | null;
}

/** Closes the session when it ends, however it ends. */
async function* streamChat(call: ChatCall, session: GenerationSession): AsyncGenerator<string> {
  const { body, head } = call;
  const includesUsage = body.stream_options?.include_usage === true;
  const chunk = (choices: readonly object[], usage: object | null): string =>
    sseData({ ...head, object: 'chat.completion.chunk', choices, ...(includesUsage && { usage }) });
  const delta = (index: number, content: Delta): string => chunk([{ index, ...content }], null);
  const begun = new Set<number>();
  try {
    for await (const { index, event } of mergeEvents(session.choices)) {
      if (event.kind !== 'token') continue;
      session.countToken();
      if (!begun.has(index)) yield delta(index, { delta: { role: 'assistant', content: '' }, finish_reason: null });
      begun.add(index);
      const logprobs = event.logprob === null ? null : { content: [chatLogprob(call.naming, event.tokenId, event.logprob)], refusal: null };
      if (event.text !== '' || logprobs !== null) yield delta(index, { delta: { content: event.text }, logprobs, finish_reason: null });
      if (event.end !== null) yield delta(index, { delta: {}, finish_reason: finishReason(event.end) });
    }
    if (includesUsage) yield chunk([], usageOf(call.promptTokens, session));
    yield STREAM_DONE;
  } finally {
    session.close();
  }
}
