// Initial factors that leave the base as it is: their product is zero (PEFT 0.21, tuners/lora/layer.py, reset_lora_parameters).
import type { RandomStream } from '../random.ts';
import type { Factors } from '../adapter/trained-site.ts';
import type { TargetSite } from '../sites.ts';

/**
 * Linear: A Kaiming uniform with a = √5, that is within ±1/√in, or for `gaussian` normal with deviation 1/rank; B zero. Embedding: A zero, B standard normal.
 */
export function plainFactors({ site, rank }: TargetSite, init: 'default' | 'gaussian', stream: RandomStream): Factors {
  const a = new Float32Array(rank * site.inFeatures);
  const b = new Float32Array(site.outFeatures * rank);
  if (site.kind === 'embedding') stream.fillNormal(b, 1);
  else if (init === 'gaussian') stream.fillNormal(a, 1 / rank);
  else fillUniform(a, 1 / Math.sqrt(site.inFeatures), stream);
  return { a, b };
}

function fillUniform(values: Float32Array, bound: number, stream: RandomStream): void {
  for (let index = 0; index < values.length; index += 1) values[index] = bound * (2 * stream.uniform(index) - 1);
}
