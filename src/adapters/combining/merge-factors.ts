// Merging tensors of equal shape element by element: weighted sum, TIES (arXiv 2306.01708) and DARE (arXiv 2311.03099), step for step as
// LoRAX (server/lorax_server/utils/merges) and PEFT (utils/merge_utils.py) do it. Pure; knows nothing of A and B.
import type { FactorStrategy, MajoritySign } from './mix.ts';

export interface Factor {
  readonly values: Float32Array;
  readonly weight: number;
  /** DARE: which values are kept, one 0 or 1 each; asked only where values are dropped. */
  keep(density: number): Uint8Array;
}

/**
 * @param factors - at least one, all of one length.
 * @param rescale - DARE's division of kept values by the density. PEFT does it; LoRAX computes it and throws the result away.
 */
export function mergeFactors(factors: readonly Factor[], strategy: FactorStrategy, rescale: boolean): Float32Array {
  switch (strategy.strategy) {
    case 'linear':
      return weightedSum(factors);
    case 'dare_linear':
      return weightedSum(factors.map((factor) => dropped(factor, strategy.density, rescale)));
    case 'ties':
      return disjointSum(
        factors.map((factor) => ({ ...factor, values: largestKept(factor.values, strategy.density) })),
        strategy.majoritySign,
      );
    case 'dare_ties':
      return disjointSum(
        factors.map((factor) => dropped(factor, strategy.density, rescale)),
        strategy.majoritySign,
      );
  }
}

type Weighted = Pick<Factor, 'values' | 'weight'>;

function weightedSum(factors: readonly Weighted[]): Float32Array {
  const sum = new Float64Array(factors[0]?.values.length ?? 0);
  for (const { values, weight } of factors) {
    for (let index = 0; index < sum.length; index += 1) sum[index] = (sum[index] ?? 0) + weight * (values[index] ?? 0);
  }
  return Float32Array.from(sum);
}

/** DARE: values that `keep` drops become 0. */
function dropped(factor: Factor, density: number, rescale: boolean): Weighted {
  const { values, weight } = factor;
  if (density >= 1) return { values, weight };
  const kept = factor.keep(density);
  return { weight, values: values.map((value, index) => (kept[index] === 1 ? value / (rescale ? density : 1) : 0)) };
}

/** TIES, trim: keeps the floor(density n) values of largest magnitude. Of equal magnitudes the earlier ones, where torch.topk promises nothing. */
function largestKept(values: Float32Array, density: number): Float32Array {
  if (density >= 1) return values;
  const count = Math.floor(density * values.length);
  if (count === 0) return new Float32Array(values.length);
  const magnitudes = values.map(Math.abs);
  const bound = magnitudes.toSorted().at(-count) ?? 0;
  let ties = count - magnitudes.reduce((above, magnitude) => above + (magnitude > bound ? 1 : 0), 0);
  return values.map((value) => {
    if (Math.abs(value) > bound) return value;
    if (Math.abs(value) < bound || ties === 0) return 0;
    ties -= 1;
    return value;
  });
}

/** TIES, elect and merge: the weighted mean's numerator and count take only values of the elected sign. Weights come after the election. */
function disjointSum(factors: readonly Weighted[], method: MajoritySign): Float32Array {
  return Float32Array.from({ length: factors[0]?.values.length ?? 0 }, (_, index) => {
    let vote = 0;
    for (const { values } of factors) vote += method === 'total' ? (values[index] ?? 0) : Math.sign(values[index] ?? 0);
    const elected = vote >= 0 ? 1 : -1;
    let sum = 0;
    let count = 0;
    for (const { values, weight } of factors) {
      if (Math.sign(values[index] ?? 0) !== elected) continue;
      sum += weight * (values[index] ?? 0);
      count += 1;
    }
    return sum / Math.max(count, 1);
  });
}
