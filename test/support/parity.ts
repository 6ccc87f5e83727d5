// Compares a server's answers with the reference's, through the public API only. What disagrees comes back as sentences; none means equal.
import type { Api, CompletionLogprobs } from './api.ts';
import type { ExpectedAnswer } from './expected.ts';
import { GREEDY_GAP, LOGPROB_FP32 } from './tolerances.ts';

const TOP = 10;
const TOKEN_ID = /^token_id:(\d+)$/;

type TopLogprobs = Readonly<Record<string, number>> | null | undefined;

/** Everything that the reference tells of these prompts, one request after another. */
export async function disagreements(api: Api, model: string, answers: readonly ExpectedAnswer[]): Promise<readonly string[]> {
  const found: string[] = [];
  for (const answer of answers) {
    for (const compare of [logprobDisagreements, nextTokenDisagreements, greedyDisagreements])
      found.push(...(await compare(api, model, answer)));
  }
  return found;
}

/**
 * Exports an adapter as GGUF, uploads that under another name, and compares what it computes then. `notInGguf`: GGUF has no words for it, and the
 * refusal must say these.
 */
export async function ggufDisagreements(
  api: Api,
  model: string,
  answers: readonly ExpectedAnswer[],
  notInGguf: RegExp | undefined,
): Promise<readonly string[]> {
  const gguf = await api.exportGguf(model);
  if (!(gguf instanceof Uint8Array)) {
    const isExpected = gguf.status === 422 && notInGguf?.test(gguf.text) === true;
    return isExpected ? [] : [`${model}: export answers ${gguf.status} ${gguf.text}, expected ${String(notInGguf ?? 'a file')}`];
  }
  if (notInGguf !== undefined) return [`${model}: exports as GGUF, which has no words for it: ${String(notInGguf)}`];
  const copy = `${model}-from-gguf`;
  await api.uploadGguf(copy, gguf);
  const compared = await Promise.all(answers.map(async (answer) => await logprobDisagreements(api, copy, answer)));
  return compared.flat();
}

/** Scores the prompt with its continuation, as token ids, and compares every log probability and the ten best next tokens. */
export async function logprobDisagreements(api: Api, model: string, expected: ExpectedAnswer): Promise<readonly string[]> {
  const { prompt_token_ids: promptIds, continuation_token_ids: continuationIds } = expected;
  const sequence = [...promptIds, ...continuationIds];
  const completion = await api.complete({
    model,
    prompt: sequence,
    echo: true,
    max_tokens: 0,
    logprobs: TOP,
    return_tokens_as_token_ids: true,
  });
  const scored = required(completion.logprobs);
  const found = scored.token_logprobs.slice(promptIds.length);
  const differences = expected.continuation_logprobs.map((value, index) => Math.abs(value - (found[index] ?? Number.NaN)));
  return [
    ...unequal(model, 'echoed token ids', scored.tokens.map(tokenIdOf), sequence),
    ...(scored.token_logprobs[0] === null ? [] : [`${model}: the first token has nothing before it, but a log probability`]),
    ...tooFar(model, 'log probabilities of the continuation', differences),
    ...tooFar(model, 'ten best next tokens, scored', topDifferences(scored.top_logprobs[promptIds.length], expected)),
  ];
}

/** Generates one token and compares the ten best. */
export async function nextTokenDisagreements(api: Api, model: string, expected: ExpectedAnswer): Promise<readonly string[]> {
  const scored = await greedy(api, model, expected.prompt_token_ids, 1);
  return tooFar(model, 'ten best next tokens, generated', topDifferences(scored.top_logprobs[0], expected));
}

/** Generates as many tokens as the reference and compares them up to the first near tie. */
export async function greedyDisagreements(api: Api, model: string, expected: ExpectedAnswer): Promise<readonly string[]> {
  const reference = expected.greedy_token_ids;
  const scored = await greedy(api, model, expected.prompt_token_ids, reference.length);
  const found = scored.tokens.map(tokenIdOf);
  if (found.length !== reference.length) return [`${model}: got ${found.length} greedy tokens, expected ${reference.length}`];
  const end = comparableLength(expected, scored);
  return unequal(model, `the first ${end} greedy ids`, found.slice(0, end), reference.slice(0, end));
}

/**
 * How many greedy ids must be equal: those before the first position whose two best logits are closer than the bound. Where the reference tells
 * only its smallest gap and that is below the bound, the gaps are those of the answer itself, which equals the reference until then.
 */
function comparableLength(expected: ExpectedAnswer, scored: CompletionLogprobs): number {
  if (expected.greedy_min_gap >= GREEDY_GAP) return expected.greedy_token_ids.length;
  const gaps = expected.greedy_gaps ?? scored.top_logprobs.map(gapOf);
  const tie = gaps.findIndex((gap) => gap < GREEDY_GAP);
  return tie === -1 ? gaps.length : tie;
}

function gapOf(top: TopLogprobs): number {
  const [best = Number.NaN, second = Number.NaN] = Object.values(top ?? {}).toSorted((a, b) => b - a);
  return best - second;
}

async function greedy(api: Api, model: string, prompt: readonly number[], tokenCount: number): Promise<CompletionLogprobs> {
  const sampling = { max_tokens: tokenCount, temperature: 0, ignore_eos: true };
  const { logprobs } = await api.complete({ model, prompt, ...sampling, logprobs: TOP, return_tokens_as_token_ids: true });
  return required(logprobs);
}

function topDifferences(top: TopLogprobs, expected: ExpectedAnswer): readonly number[] {
  const found = new Map(Object.entries(required(top)).map(([token, logprob]) => [tokenIdOf(token), logprob]));
  const lowest = Math.min(...found.values());
  // The last of ten may change places with the eleventh.
  return expected.top10.map(([tokenId, logprob]) => Math.abs(logprob - (found.get(tokenId) ?? lowest)));
}

function tooFar(model: string, what: string, differences: readonly number[]): readonly string[] {
  const far = differences.filter((difference) => !(difference <= LOGPROB_FP32));
  return far.length === 0
    ? []
    : [`${model}: ${what}: ${far.length} of ${differences.length} differ by more than ${LOGPROB_FP32}, by ${Math.max(...far).toFixed(6)}`];
}

function unequal(model: string, what: string, found: readonly number[], expected: readonly number[]): readonly string[] {
  return found.join(' ') === expected.join(' ') ? [] : [`${model}: ${what}: got ${found.join(' ')}, expected ${expected.join(' ')}`];
}

export function tokenIdOf(token: string): number {
  return Number(TOKEN_ID.exec(token)?.[1] ?? Number.NaN);
}

function required<T>(value: T | null | undefined): T {
  if (value === null || value === undefined) throw new Error('the answer has no log probabilities');
  return value;
}
