// POST /v1/completions: prompts in, completions out, whole or as a stream.
import type { FastifyReply, FastifyRequest } from 'fastify';
import { OPENAI_ERRORS } from '../../error-schemas.ts';
import { bestChoices, finishAll, type FinishedChoice } from '../../generation/finished-choice.ts';
import { checkedGrammar } from '../../generation/grammar.ts';
import type { Prompt } from '../../generation/prompt.ts';
import type { GenerationSession } from '../../generation/session.ts';
import { startGeneration } from '../../generation/start.ts';
import { principalOf } from '../../plugins/auth.ts';
import type { Metrics } from '../../plugins/metrics.ts';
import { dropNullFields } from '../../plugins/null-fields.ts';
import type { App, AppServices } from '../../services.ts';
import { sendEvents } from '../../sse.ts';
import { answerHead, finishReason, streamFailure, usageOf } from './answer-fields.ts';
import { checkCombinations, logprobsWriter, promptsOf, specOf, type CompletionCall } from './completions-call.ts';
import { CompletionAnswer, CompletionBody } from './completions-schema.ts';
import { streamCompletion } from './completions-stream.ts';
import { joinLogprobs } from './logprobs.ts';
import { adapterOf } from './request-fields.ts';
import { grammarWishes } from './structured-output.ts';

export function registerCompletionsRoute(app: App, services: AppServices, metrics: Metrics): void {
  const schema = {
    tags: ['openai'],
    summary: 'Complete one or many prompts, each given as text or token ids',
    body: CompletionBody,
    response: { 200: CompletionAnswer, ...OPENAI_ERRORS },
  };
  app.post('/v1/completions', { schema, preValidation: dropNullFields }, (request, reply) =>
    complete(services, metrics, request, request.body, reply),
  );
}

async function complete(services: AppServices, metrics: Metrics, request: FastifyRequest, body: CompletionBody, reply: FastifyReply) {
  checkCombinations(body);
  const { base } = services;
  const { tenant } = principalOf(request);
  const grammar = await checkedGrammar(services, tenant, grammarWishes(body), body.ignore_eos);
  let prompts: readonly Prompt[] = [];
  const session = await startGeneration({ services, metrics, reply, tenant, adapter: adapterOf(base, body) }, () => {
    prompts = promptsOf(base, body);
    return specOf(services, body, prompts, grammar);
  });
  const head = answerHead('cmpl', services.clock.now(), body.model || base.id);
  const call: CompletionCall = { base, body, prompts, n: body.n ?? 1, head };
  try {
    if (body.stream !== true) return wholeAnswer(call, session, await finishAll(session));
    return await sendEvents(reply, streamCompletion(call, session), { renderFailure: streamFailure(request) });
  } catch (error) {
    session.close();
    throw error;
  } finally {
    if (body.stream !== true) session.close();
  }
}

function wholeAnswer(call: CompletionCall, session: GenerationSession, finished: readonly FinishedChoice[]) {
  const { prompts, n, head } = call;
  const choicesPerPrompt = finished.length / prompts.length;
  const choices = prompts.flatMap((prompt, promptIndex) => {
    const own = finished.slice(promptIndex * choicesPerPrompt, (promptIndex + 1) * choicesPerPrompt);
    const kept = own.length > n ? bestChoices(own, n) : own;
    return kept.map((choice, choiceIndex) => wholeChoice(call, prompt, choice, promptIndex * n + choiceIndex));
  });
  const promptTokens = prompts.reduce((total, prompt) => total + prompt.tokenIds.length, 0);
  return {
    id: head.id,
    object: 'text_completion' as const,
    created: head.created,
    model: head.model,
    choices,
    usage: usageOf(promptTokens, session),
  };
}

function wholeChoice(call: CompletionCall, prompt: Prompt, choice: FinishedChoice, index: number) {
  const { body } = call;
  const echoed = body.echo === true ? prompt.text : '';
  const finish_reason = finishReason(choice.end);
  const text = echoed + choice.text;
  if (body.logprobs === undefined) return { index, text, logprobs: null, finish_reason };
  const writer = logprobsWriter(call, prompt);
  const prefix = body.echo === true ? [writer.prompt(prompt, choice.promptLogprobs)] : [];
  const parts = choice.tokens.map((token) => writer.token(token.tokenId, token.logprob));
  return { index, text, logprobs: joinLogprobs([...prefix, ...parts]), finish_reason };
}
