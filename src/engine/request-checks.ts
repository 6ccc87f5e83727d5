// What the engine refuses at its own door. The front validates for users; this protects native kernels from impossible values.
import type { ErrorCode } from '../core/index.ts';
import type { GenerationRequest, SamplingParameters } from './messages.ts';

export interface Refusal {
  readonly code: ErrorCode;
  readonly message: string;
}

export interface RequestBounds {
  readonly vocabularySize: number;
  readonly maxContext: number;
}

/** The reason why a request cannot run, null when it can. */
export function refusalOf(request: GenerationRequest, bounds: RequestBounds): Refusal | null {
  const promptLength = request.promptTokenIds.length;
  if (promptLength > bounds.maxContext) {
    const message = `the prompt has ${promptLength} tokens, the context holds ${bounds.maxContext}`;
    return { code: 'context_length_exceeded', message };
  }
  const problem = promptProblem(request, bounds) ?? countProblem(request) ?? samplingProblem(request.sampling, bounds);
  return problem === null ? null : { code: 'invalid_request', message: problem };
}

function promptProblem(request: GenerationRequest, { vocabularySize }: RequestBounds): string | null {
  if (request.promptTokenIds.length === 0) return 'the prompt is empty, expected at least one token';
  const wrong = request.promptTokenIds.find((id) => !isIndex(id, vocabularySize));
  return wrong === undefined ? null : `prompt token id ${wrong} is not an integer from 0 to ${vocabularySize - 1}`;
}

function countProblem(request: GenerationRequest): string | null {
  const { maxNewTokens, logprobs, promptLogprobs } = request;
  for (const [name, value] of Object.entries({ maxNewTokens, logprobs, promptLogprobs })) {
    if (value !== null && !isIndex(value, 2 ** 31)) return `${name} is ${value}, expected an integer of at least 0`;
  }
  return null;
}

function samplingProblem(sampling: SamplingParameters, { vocabularySize }: RequestBounds): string | null {
  const bounded: readonly (readonly [name: string, value: number, low: number, high: number])[] = [
    ['temperature', sampling.temperature, 0, Number.MAX_VALUE],
    ['topK', sampling.topK, 0, Number.MAX_VALUE],
    ['topP', sampling.topP, 0, 1],
    ['minP', sampling.minP, 0, 1],
    ['typicalP', sampling.typicalP, 0, 1],
    ['repetitionPenalty', sampling.repetitionPenalty, Number.MIN_VALUE, Number.MAX_VALUE],
    ['frequencyPenalty', sampling.frequencyPenalty, -Number.MAX_VALUE, Number.MAX_VALUE],
    ['presencePenalty', sampling.presencePenalty, -Number.MAX_VALUE, Number.MAX_VALUE],
  ];
  for (const [name, value, low, high] of bounded) {
    if (!(value >= low && value <= high)) return `${name} is ${value}, expected a number from ${low} to ${high}`;
  }
  if (!isIndex(sampling.seed, 2 ** 32)) return `seed is ${sampling.seed}, expected an unsigned 32-bit integer`;
  const wrong = sampling.logitBias.find(([id, bias]) => !isIndex(id, vocabularySize) || !Number.isFinite(bias));
  return wrong === undefined
    ? null
    : `logit bias of token ${wrong[0]} is ${wrong[1]}, expected a token id below ${vocabularySize} and a finite number`;
}

function isIndex(value: number, limit: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < limit;
}
