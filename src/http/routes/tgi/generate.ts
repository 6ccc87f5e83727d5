// POST /generate, /generate_stream and /: TGI's and LoRAX's generation routes over the shared pipeline.
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { TGI_ERRORS } from '../../error-schemas.ts';
import { finishAll } from '../../generation/finished-choice.ts';
import { checkedGrammar } from '../../generation/grammar.ts';
import { chooseAdapter } from '../../generation/reference.ts';
import type { GenerationSession } from '../../generation/session.ts';
import { startGeneration } from '../../generation/start.ts';
import { principalOf } from '../../plugins/auth.ts';
import { toAppError } from '../../plugins/error-handler.ts';
import type { Metrics } from '../../plugins/metrics.ts';
import { dropNullFields } from '../../plugins/null-fields.ts';
import type { App, AppServices } from '../../services.ts';
import { sendEvents, sseData } from '../../sse.ts';
import { renderError } from '../../surface.ts';
import { streamAnswer, wholeAnswer } from './generate-answer.ts';
import { callOf, checkParameters, grammarWishes, inputsOf, parametersOf, specOf, type GenerateCall } from './generate-call.ts';
import { GenerateAnswer, GenerateBody, GenerateQuery } from './generate-schema.ts';

interface Deps {
  readonly services: AppServices;
  readonly metrics: Metrics;
}

interface GenerateInput {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly body: GenerateBody;
  readonly adapter: string | undefined;
}

export function registerGenerateRoutes(app: App, services: AppServices, metrics: Metrics): void {
  const deps: Deps = { services, metrics };
  const common = { tags: ['tgi'], querystring: GenerateQuery, body: GenerateBody };
  const whole = { ...common, summary: 'Generate text', response: { 200: GenerateAnswer, ...TGI_ERRORS } };
  app.post('/generate', { schema: whole, preValidation: dropNullFields }, (request, reply) =>
    answerWhole(deps, { request, reply, body: request.body, adapter: request.query.adapter }),
  );
  const streamed = {
    ...common,
    summary: 'Generate text as a stream of server-sent events',
    response: { 200: Type.String(), ...TGI_ERRORS },
  };
  app.post('/generate_stream', { schema: streamed, preValidation: dropNullFields }, async (request, reply) => {
    await answerStreamed(deps, { request, reply, body: request.body, adapter: request.query.adapter });
    return reply;
  });
  const compatible = {
    ...common,
    summary: 'Generate text; a list with one answer, or a stream when asked for',
    response: { 200: Type.Array(GenerateAnswer), ...TGI_ERRORS },
  };
  app.post('/', { schema: compatible, preValidation: dropNullFields }, async (request, reply) => {
    const input = { request, reply, body: request.body, adapter: request.query.adapter };
    if (request.body.stream !== true) return [await answerWhole(deps, input)];
    await answerStreamed(deps, input);
    return reply;
  });
}

async function answerWhole(deps: Deps, input: GenerateInput) {
  const { session, call } = await start(deps, input, false);
  try {
    return wholeAnswer(call, await finishAll(session));
  } finally {
    session.close();
  }
}

async function answerStreamed(deps: Deps, input: GenerateInput): Promise<void> {
  const { session, call } = await start(deps, input, true);
  try {
    const renderFailure = (error: unknown): string[] => [sseData(renderError(toAppError(error, input.request), 'tgi').body)];
    await sendEvents(input.reply, streamAnswer(call, session), { renderFailure });
  } catch (error) {
    session.close();
    throw error;
  }
}

async function start(
  deps: Deps,
  input: GenerateInput,
  streams: boolean,
): Promise<{ readonly session: GenerationSession; readonly call: GenerateCall }> {
  const { services, metrics } = deps;
  const text = inputsOf(input.body);
  const parameters = parametersOf(input.body);
  checkParameters(parameters, streams);
  const { adapter_id: body, merged_adapters: merged } = parameters;
  const adapter = chooseAdapter(services.base.id, { query: input.adapter, body, merged });
  let decided: GenerateCall | null = null;
  const { tenant } = principalOf(input.request);
  const grammar = await checkedGrammar(services, tenant, grammarWishes(parameters));
  const session = await startGeneration({ services, metrics, reply: input.reply, tenant, adapter }, () => {
    decided = callOf(services, text, parameters);
    return specOf(decided, streams, grammar);
  });
  if (decided === null) throw new Error('the generation started without a spec');
  return { session, call: decided };
}
