// The parameters that change nothing, once for all who fill in what a client left out.
import type { SamplingParameters } from '../messages.ts';

/** Greedy, with every filter and penalty off. */
export const NEUTRAL_SAMPLING: Omit<SamplingParameters, 'seed'> = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  typicalP: 1,
  repetitionPenalty: 1,
  frequencyPenalty: 0,
  presencePenalty: 0,
  logitBias: [],
};
