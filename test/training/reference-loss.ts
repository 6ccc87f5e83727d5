// The loss of a training computation once more: in float64, one example after the other, by the reference model.
import { ropeFrequencies } from '../../src/architectures/llama/rope.ts';
import type { ModelPackage } from '../../src/models/index.ts';
import type { TrainedSite, TrainingComputation, TrainingExample } from '../../src/training/trainer/ports.ts';
import { type ReferenceAdapter, referenceLogits } from '../graph/support/reference-llama.ts';

/** Of every trained site. */
export const RANK = 3;
export const SCALE = 1.5;

export interface Opened {
  readonly model: ModelPackage;
  readonly sites: readonly TrainedSite[];
  readonly computation: TrainingComputation;
  readonly weights: ReadonlyMap<string, Float32Array>;
}

type Factors = ReadonlyMap<string, Float32Array>;

export function factorsOf({ computation }: Opened): Factors {
  return new Map(computation.parameters.map(({ site, part, values }) => [`${site} ${part}`, values]));
}

/** DoRA's norms of the rows of W + s (BA - B0 A0), in float64 and with that matrix made. An embedding's are of its columns. */
export function normsOf({ model, sites, weights }: Opened, factors: Factors): ReadonlyMap<string, readonly number[]> {
  return new Map(
    model.description.sites.flatMap(({ id, module, kind, inFeatures, outFeatures }) => {
      const site = sites.find((candidate) => candidate.site === id);
      const weight = weights.get(`${module === 'lm_head' && model.config.tiedHead ? 'model.embed_tokens' : module}.weight`);
      if (!site || !weight) return [];
      const norms = Array.from({ length: outFeatures }, (_, out) => {
        let square = 0;
        for (let column = 0; column < inFeatures; column++) {
          const base = weight[kind === 'embedding' ? column * outFeatures + out : out * inFeatures + column] ?? 0;
          square += (base + SCALE * changeAt(site, factors, inFeatures, out, column)) ** 2;
        }
        return Math.sqrt(square);
      });
      return [[id, norms] as const];
    }),
  );
}

/** Element of BA - B0 A0. */
function changeAt({ site, origin }: TrainedSite, factors: Factors, inFeatures: number, out: number, column: number): number {
  const [a, b] = [factors.get(`${site} A`), factors.get(`${site} B`)];
  let sum = 0;
  for (let r = 0; r < RANK; r++) {
    sum += (b?.[out * RANK + r] ?? 0) * (a?.[r * inFeatures + column] ?? 0);
    if (origin) sum -= (origin.b[out * RANK + r] ?? 0) * (origin.a[r * inFeatures + column] ?? 0);
  }
  return sum;
}

/** The reference's adapter: factors side by side with the origin's, scale and gain folded into B. Norms are given, so that they can be held. */
export function adapterOf(
  { model, sites }: Opened,
  factors: Factors,
  norms: ReadonlyMap<string, readonly number[]> | null,
): ReferenceAdapter {
  return new Map(
    sites.map(({ site, origin }) => {
      const { inFeatures, outFeatures } = model.description.sites.find(({ id }) => id === site) ?? { inFeatures: 0, outFeatures: 0 };
      const rank = origin ? 2 * RANK : RANK;
      const element = (part: 'a' | 'b', index: number): number => (factors.get(`${site} ${part === 'a' ? 'A' : 'B'}`) ?? [])[index] ?? 0;
      const magnitude = factors.get(`${site} magnitude`);
      const gain = magnitude && Float64Array.from(magnitude, (value, out) => value / (norms?.get(site)?.[out] ?? 1));
      const a = Float64Array.from({ length: inFeatures * rank }, (_, index) => {
        const [column, r] = [Math.floor(index / rank), index % rank];
        return r < RANK ? element('a', r * inFeatures + column) : (origin?.a[(r - RANK) * inFeatures + column] ?? 0);
      });
      const b = Float64Array.from({ length: rank * outFeatures }, (_, index) => {
        const [r, out] = [Math.floor(index / outFeatures), index % outFeatures];
        const value = r < RANK ? element('b', out * RANK + r) : -(origin?.b[out * RANK + r - RANK] ?? 0);
        return SCALE * value * (gain?.[out] ?? 1);
      });
      // The reference reads elements only: float64 here keeps the steps of finite differences.
      return [
        site,
        { rank, a: a as unknown as Float32Array, b: b as unknown as Float32Array, ...(gain && { gain: gain as unknown as Float32Array }) },
      ] as const;
    }),
  );
}

export function referenceLoss(
  { model: { config }, weights }: Opened,
  adapter: ReferenceAdapter,
  examples: readonly TrainingExample[],
): number {
  const checkpoint = (name: string): Float32Array => weights.get(name) ?? new Float32Array();
  let loss = 0;
  for (const { tokenIds, supervised } of examples) {
    const logits = referenceLogits({ config, checkpoint, adapter, frequencies: ropeFrequencies(config) }, [...tokenIds]);
    for (let position = 1; position < tokenIds.length; position++) {
      if (supervised[position] !== 1) continue;
      const line = logits[position - 1] ?? [];
      const largest = Math.max(...line);
      loss += largest + Math.log(line.reduce((sum, logit) => sum + Math.exp(logit - largest), 0)) - (line[tokenIds[position] ?? 0] ?? 0);
    }
  }
  return loss;
}

export function dot(left: ArrayLike<number>, right: ArrayLike<number>): number {
  let sum = 0;
  for (let index = 0; index < left.length; index++) sum += (left[index] ?? 0) * (right[index] ?? 0);
  return sum;
}
