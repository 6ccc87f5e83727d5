// Log probabilities of the model's own distribution: raw logits, before penalties, bias and temperature. Natural log.
import type { TokenLogprob } from '../messages.ts';
import { settledTotal } from './mass.ts';
import { argmax, selectTop } from './select.ts';
import type { Weigh } from './weigh.ts';

/** ln of the sum of exp over all logits. NaN when no logit is finite. */
export function logSumExp(logits: Float32Array, weigh: Weigh): number {
  const bestId = argmax(logits);
  if (bestId < 0) return NaN;
  const largest = logits[bestId] as number;
  return largest + Math.log(settledTotal(weigh(logits, largest, 1), false));
}

/** Log probability of one token, with the `topCount` most likely ones, best first. `logits` is one line, [vocabularySize]. */
export function tokenLogprob(logits: Float32Array, tokenId: number, topCount: number, weigh: Weigh): TokenLogprob {
  const normalizer = logSumExp(logits, weigh);
  const logprobOf = (id: number): number => (logits[id] as number) - normalizer;
  const top = Array.from(selectTop(logits, topCount), (id) => [id, logprobOf(id)] as const);
  return { logprob: logprobOf(tokenId), top };
}
