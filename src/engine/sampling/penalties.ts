// Repetition (CTRL), frequency and presence penalties (OpenAI) on logits. Touches only tokens that were seen.
import type { SamplingParameters } from '../messages.ts';

/** Tokens of one request: which its prompt holds, and how often each was produced. */
export interface TokenHistory {
  readonly promptIds: ReadonlySet<number>;
  readonly producedCounts: ReadonlyMap<number, number>;
}

/** For requests without penalties, whose tokens need no counting. */
export const NO_PENALTY_HISTORY: TokenHistory = { promptIds: new Set(), producedCounts: new Map() };

export function hasPenalties(parameters: SamplingParameters): boolean {
  return parameters.repetitionPenalty !== 1 || parameters.frequencyPenalty !== 0 || parameters.presencePenalty !== 0;
}

/**
 * In place: l = l / r for l > 0, else l * r, for tokens of prompt and output (Keskar et al. 2019, section 4.1);
 * then l = l - frequency * count - presence for produced tokens.
 */
export function applyPenalties(logits: Float32Array, parameters: SamplingParameters, history: TokenHistory): void {
  const { repetitionPenalty, frequencyPenalty, presencePenalty } = parameters;
  if (repetitionPenalty !== 1) {
    for (const id of history.promptIds) repeat(logits, id, repetitionPenalty);
    for (const id of history.producedCounts.keys()) {
      if (!history.promptIds.has(id)) repeat(logits, id, repetitionPenalty);
    }
  }
  if (frequencyPenalty === 0 && presencePenalty === 0) return;
  for (const [id, count] of history.producedCounts) {
    logits[id] = (logits[id] as number) - frequencyPenalty * count - presencePenalty;
  }
}

function repeat(logits: Float32Array, id: number, penalty: number): void {
  const logit = logits[id] as number;
  logits[id] = logit > 0 ? logit / penalty : logit * penalty;
}
