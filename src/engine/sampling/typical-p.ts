// Locally typical sampling (Meister et al. 2022, equation 7): keeps the tokens whose information is closest to the entropy.
import { keepBestMass, totalWeight } from './mass.ts';

/** In place. `scratch` has the length of `weights`. Probability and entropy are of what earlier filters left. */
export function keepTypicalP(weights: Float32Array, mass: number, scratch: Float32Array): void {
  const logTotal = Math.log(totalWeight(weights));
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
  keepBestMass(scratch, weights, mass);
}
