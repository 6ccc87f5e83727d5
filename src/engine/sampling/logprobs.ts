// Log probabilities of the model's own distribution: raw logits, before penalties, bias and temperature. Natural log, float64.
import type { TokenLogprob } from '../messages.ts';
import { argmax, selectTop } from './select.ts';

/** ln of the sum of exp over all logits. NaN when no logit is finite. */
export function logSumExp(logits: Float32Array): number {
  const bestId = argmax(logits);
  if (bestId < 0) return NaN;
  const largest = logits[bestId] as number;
  let sum = 0;
  for (let id = 0; id < logits.length; id += 1) sum += Math.exp((logits[id] as number) - largest);
  return largest + Math.log(sum);
}

/** Log probability of one token, with the `topCount` most likely ones, best first. `logits` is one line, [vocabularySize]. */
export function tokenLogprob(logits: Float32Array, tokenId: number, topCount: number): TokenLogprob {
  const normalizer = logSumExp(logits);
  const logprobOf = (id: number): number => (logits[id] as number) - normalizer;
  const top = Array.from(selectTop(logits, topCount), (id) => [id, logprobOf(id)] as const);
  return { logprob: logprobOf(tokenId), top };
}
