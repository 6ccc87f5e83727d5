// The values of every trained place as training begins. Opens nothing itself: weights, gradients and products come in.
import type { BaseWeights } from '../../../models/index.ts';
import type { Hyperparameters } from '../../hyperparameters.ts';
import type { InitialValues, Factors } from '../adapter/trained-site.ts';
import type { Products } from '../algebra/products.ts';
import { randomStream } from '../random.ts';
import type { TargetSite } from '../sites.ts';
import { columnNorms, rowNorms } from './magnitude.ts';
import { plainFactors } from './plain-factors.ts';
import { loraGaFactors, pissaFactors } from './singular-factors.ts';

export interface InitialSources {
  readonly weights: Pick<BaseWeights, 'readWeight'>;
  readonly products: Products;
  /** Calls back with dL/dW [out, in] of each of the sites, by id. */
  readonly gradients: (sites: readonly string[], take: (site: string, gradient: Float32Array) => void) => void;
  /** Called between places: lets messages in, and may throw to end the work. */
  readonly turn: () => Promise<void>;
}

/**
 * In the order of `targets`. PiSSA and LoRA-GA leave an embedding to the default, as PEFT does: it is looked up, not multiplied.
 * @throws AppError `invalid_request` for a rank that the init cannot have.
 */
export async function initialValues(
  { lora, seed }: Pick<Hyperparameters, 'lora' | 'seed'>,
  targets: readonly TargetSite[],
  { weights, products, gradients, turn }: InitialSources,
): Promise<readonly InitialValues[]> {
  const fromGradients = new Map<string, Factors>();
  const stream = (target: TargetSite) => randomStream(seed, `initial ${target.site.module}`);
  if (lora.init === 'lora_ga') {
    const linears = new Map(targets.filter(isMultiplied).map((target) => [target.site.id, target]));
    gradients([...linears.keys()], (id, gradient) => {
      const target = linears.get(id);
      if (target) fromGradients.set(id, loraGaFactors(products, gradient, target, stream(target)));
    });
  }
  const initial: InitialValues[] = [];
  for (const target of targets) {
    await turn();
    const { site } = target;
    const changesBase = (lora.init === 'pissa' || lora.init === 'lora_ga') && isMultiplied(target);
    const weight = lora.useDora || (changesBase && lora.init === 'pissa') ? await weights.readWeight(site.module) : null;
    const factors =
      fromGradients.get(site.id) ??
      (changesBase && weight !== null
        ? pissaFactors(products, weight, target, stream(target))
        : plainFactors(target, lora.init === 'gaussian' ? 'gaussian' : 'default', stream(target)));
    initial.push({ ...factors, target, changesBase, magnitude: lora.useDora && weight !== null ? norms(target, weight) : null });
  }
  return initial;
}

function isMultiplied({ site }: TargetSite): boolean {
  return site.kind !== 'embedding';
}

function norms({ site }: TargetSite, weight: Float32Array): Float32Array {
  return site.kind === 'embedding' ? columnNorms(weight, site.outFeatures) : rowNorms(weight, site.outFeatures);
}
