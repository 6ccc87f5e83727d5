// A TGI request decided: parameters from both places joined, sampling as TGI understands it, and what the engine is asked for.
import { AppError } from '../../../core/index.ts';
import { NEUTRAL_SAMPLING } from '../../../engine/index.ts';
import { JSON_OBJECT_GRAMMAR, jsonSchemaGrammar, textGrammar, type Grammar } from '../../../text/index.ts';
import type { GrammarWish } from '../../generation/grammar.ts';
import { newTokenCount, promptFromText, truncated, type Prompt } from '../../generation/prompt.ts';
import { randomSeed, type SeedlessSampling } from '../../generation/sampling.ts';
import type { GenerationSpec } from '../../generation/session.ts';
import type { AppServices, ServedBase } from '../../services.ts';
import { PARAMETER_NAMES, type GenerateBody, type Parameters } from './generate-schema.ts';

const DEFAULT_NEW_TOKENS = 100;

export interface GenerateCall {
  readonly base: ServedBase;
  readonly parameters: Parameters;
  readonly prompt: Prompt;
  readonly bestOf: number;
  /** null when decoding is greedy and a seed has no meaning. */
  readonly seed: number | null;
}

/** Text of the prompt, under either name. @throws AppError when it is missing or given twice. */
export function inputsOf(body: GenerateBody): string {
  const { inputs, prompt } = body;
  if (inputs !== undefined && prompt !== undefined && inputs !== prompt) {
    throw new AppError('invalid_request', 'got both "inputs" and "prompt" with different texts, expected one of them', { param: 'prompt' });
  }
  const text = inputs ?? prompt;
  if (text === undefined) throw new AppError('invalid_request', '"inputs" is missing in the body', { param: 'inputs' });
  return text;
}

/** Fields of `parameters` and those beside `inputs`. @throws AppError when one stands in both places with different values. */
export function parametersOf(body: GenerateBody): Parameters {
  const inner = body.parameters ?? {};
  for (const name of PARAMETER_NAMES) {
    const [outside, inside] = [body[name], inner[name]];
    if (outside !== undefined && inside !== undefined && JSON.stringify(outside) !== JSON.stringify(inside)) {
      throw new AppError('invalid_request', `"${name}": got two different values, beside "inputs" and in "parameters"`, { param: name });
    }
  }
  const outer = Object.fromEntries(Object.entries(body).filter(([name]) => PARAMETER_NAMES.some((known) => known === name)));
  return { ...outer, ...inner };
}

/** Refuses fields that contradict each other, with TGI's own rules for best_of. */
export function checkParameters(parameters: Parameters, streams: boolean): void {
  const bestOf = parameters.best_of ?? 1;
  if (bestOf === 1) return;
  const refusal = (reason: string): AppError =>
    new AppError('invalid_request', `"best_of": got ${bestOf}, ${reason}`, { param: 'best_of' });
  if (streams) throw refusal('expected 1 when the answer is streamed');
  if (!isSampling(parameters)) throw refusal('expected 1 without sampling, since all sequences would be equal');
  if (parameters.seed !== undefined) throw refusal('expected 1 together with a seed');
}

export function callOf(services: AppServices, text: string, parameters: Parameters): GenerateCall {
  const { base } = services;
  const whole = promptFromText(base, text, 'inputs');
  return {
    base,
    parameters,
    prompt: parameters.truncate === undefined ? whole : truncated(base, whole, parameters.truncate),
    bestOf: parameters.best_of ?? 1,
    seed: isSampling(parameters) ? (parameters.seed ?? randomSeed(services.random)) : null,
  };
}

export function specOf(call: GenerateCall, streams: boolean, grammar: Grammar | null): GenerationSpec {
  const { base, parameters, prompt, bestOf } = call;
  const wish = { asked: parameters.max_new_tokens, standard: DEFAULT_NEW_TOKENS, param: 'max_new_tokens' };
  const needsLogprobs = streams || parameters.details === true || parameters.top_n_tokens !== undefined || bestOf > 1;
  return {
    prompts: [prompt],
    choicesPerPrompt: bestOf,
    maxNewTokens: [newTokenCount(base, prompt.tokenIds.length, wish)],
    output: 'continuation',
    stops: [parameters.stop ?? []].flat(),
    stopTokenIds: parameters.ignore_eos_token === true ? [] : base.stopTokenIds,
    sampling: samplingOf(parameters),
    grammar,
    seed: call.seed ?? 0,
    logprobs: needsLogprobs ? (parameters.top_n_tokens ?? 0) : null,
    promptLogprobs: parameters.decoder_input_details === true ? 0 : null,
  };
}

/** TGI's `grammar` and LoRAX's `response_format`. */
export function grammarWishes({ grammar, response_format: format }: Parameters): readonly GrammarWish[] {
  const schemaOrAny = (schema: object | undefined, param: string): Grammar =>
    schema === undefined ? JSON_OBJECT_GRAMMAR : jsonSchemaGrammar(schema, param);
  const wishes: GrammarWish[] = [];
  if (grammar !== undefined) {
    const make = (): Grammar =>
      grammar.type === 'regex' ? textGrammar('regex', grammar.value, 'grammar') : schemaOrAny(grammar.value, 'grammar');
    wishes.push({ param: 'grammar', make });
  }
  if (format !== undefined) wishes.push({ param: 'response_format', make: () => schemaOrAny(format.schema, 'response_format') });
  return wishes;
}

/** As in TGI: a sampling field asks for sampling even when `do_sample` is false; temperature 0 is greedy. */
function isSampling(parameters: Parameters): boolean {
  if (parameters.temperature === 0) return false;
  const { temperature, top_k: topK, top_p: topP, typical_p: typicalP, min_p: minP } = parameters;
  return parameters.do_sample === true || [temperature, topK, topP, typicalP, minP].some((field) => field !== undefined);
}

function samplingOf(parameters: Parameters): SeedlessSampling {
  return {
    ...NEUTRAL_SAMPLING,
    temperature: isSampling(parameters) ? (parameters.temperature ?? 1) : 0,
    topK: parameters.top_k ?? NEUTRAL_SAMPLING.topK,
    topP: parameters.top_p ?? NEUTRAL_SAMPLING.topP,
    typicalP: parameters.typical_p ?? NEUTRAL_SAMPLING.typicalP,
    minP: parameters.min_p ?? NEUTRAL_SAMPLING.minP,
    repetitionPenalty: parameters.repetition_penalty ?? NEUTRAL_SAMPLING.repetitionPenalty,
    frequencyPenalty: parameters.frequency_penalty ?? NEUTRAL_SAMPLING.frequencyPenalty,
  };
}
