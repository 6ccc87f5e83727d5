// Locally typical sampling (Meister et al. 2022, equation 7): keeps the tokens whose information is closest to the entropy.
import { keepBestMass, totalWeight } from './mass.ts';

/**
 * In place. Answers the ids that are left, ascending; null: all. `scratch` has the length of `weights`. Probability and entropy are of what
 * earlier filters left.
 */
export function keepTypicalP(weights: Float32Array, mass: number, scratch: Float32Array): Uint32Array | null {
  const total = totalWeight(weights);
  const logTotal = Math.log(total);
  let entropy = 0;
  for (let id = 0; id < weights.length; id += 1) {
    const weight = weights[id] as number;
    if (weight === 0) continue;
    const logprob = Math.log(weight) - logTotal;
    entropy -= Math.exp(logprob) * logprob;
    scratch[id] = logprob;
  }
  for (let id = 0; id < weights.length; id += 1) {
    scratch[id] = weights[id] === 0 ? -Infinity : -Math.abs(-(scratch[id] as number) - entropy);
  }
  return keepBestMass(scratch, weights, mass * total);
}
