// The values of every trained place as training begins. Opens nothing itself: weights, gradients and products come in.
import { AppError } from '../../../core/index.ts';
import type { BaseWeights } from '../../../models/index.ts';
import type { Hyperparameters } from '../../hyperparameters.ts';
import type { InitialValues, Factors } from '../adapter/trained-site.ts';
import type { Products } from '../algebra/products.ts';
import { type RandomStream, randomStream } from '../random.ts';
import type { TargetSite } from '../sites.ts';
import { columnNorms, rowNorms } from './magnitude.ts';
import { plainFactors } from './plain-factors.ts';
import { loraGaFactors, pissaFactors } from './singular-factors.ts';

export interface InitialSources {
  readonly weights: Pick<BaseWeights, 'readWeight'>;
  /** For PiSSA and LoRA-GA; null: there is none, since the init needs none. */
  readonly products: Products | null;
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
  sources: InitialSources,
): Promise<readonly InitialValues[]> {
  const stream = (target: TargetSite): RandomStream => randomStream(seed, `initial ${target.site.module}`);
  const fromGradients = lora.init === 'lora_ga' ? gradientFactors(targets.filter(isMultiplied), sources, stream) : null;
  const initial: InitialValues[] = [];
  for (const target of targets) {
    await sources.turn();
    const isPissa = lora.init === 'pissa' && isMultiplied(target);
    const weight = lora.useDora || isPissa ? await sources.weights.readWeight(target.site.module) : null;
    const singular = isPissa ? pissaOf(target, weight, sources, stream(target)) : (fromGradients?.get(target.site.id) ?? null);
    const factors = singular ?? plainFactors(target, lora.init === 'gaussian' ? 'gaussian' : 'default', stream(target));
    initial.push({ ...factors, target, changesBase: singular !== null, magnitude: lora.useDora ? norms(target, weight) : null });
  }
  return initial;
}

function pissaOf(target: TargetSite, weight: Float32Array | null, sources: InitialSources, stream: RandomStream): Factors {
  if (weight === null) throw new Error('PiSSA needs the weight');
  return pissaFactors(productsOf(sources), weight, target, stream);
}

function gradientFactors(
  targets: readonly TargetSite[],
  sources: InitialSources,
  stream: (target: TargetSite) => RandomStream,
): ReadonlyMap<string, Factors> {
  const head = targets.find(({ site }) => site.kind === 'head');
  if (head !== undefined) {
    const message = `lora.init lora_ga: got the target ${head.site.module}, expected linears of the layers; train the head with another init`;
    throw new AppError('invalid_request', message, { param: 'lora.target_modules' });
  }
  const byId = new Map(targets.map((target) => [target.site.id, target]));
  const factors = new Map<string, Factors>();
  sources.gradients([...byId.keys()], (id, gradient) => {
    const target = byId.get(id);
    if (target) factors.set(id, loraGaFactors(productsOf(sources), gradient, target, stream(target)));
  });
  if (factors.size !== byId.size) throw new Error(`gradients came for ${factors.size} places of ${byId.size}`);
  return factors;
}

function productsOf({ products }: InitialSources): Products {
  if (products === null) throw new Error('this init needs products');
  return products;
}

function isMultiplied({ site }: TargetSite): boolean {
  return site.kind !== 'embedding';
}

function norms({ site }: TargetSite, weight: Float32Array | null): Float32Array {
  if (weight === null) throw new Error('a magnitude needs the weight');
  return site.kind === 'embedding' ? columnNorms(weight, site.outFeatures) : rowNorms(weight, site.outFeatures);
}
