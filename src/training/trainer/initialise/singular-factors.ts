// Initial factors along singular directions: of the weight (PiSSA) or of its gradient (LoRA-GA). Both would change the base, so training subtracts them.
import { AppError } from '../../../core/index.ts';
import type { Factors } from '../adapter/trained-site.ts';
import { columnsOf, type Dense, dense, scaleColumns, transposed } from '../algebra/dense.ts';
import type { Products } from '../algebra/products.ts';
import { randomisedSvd } from '../algebra/randomised-svd.ts';
import type { RandomStream } from '../random.ts';
import type { TargetSite } from '../sites.ts';

/** Iterations over a weight: its singular values fall slowly. With 4 rank directions the 16th leaves an angle of under 1e-3 on SmolLM2 (see the tests). */
const PISSA_ITERATIONS = 16;
/** As the authors' code (Outsider565/LoRA-GA, lora_ga_init): 4 iterations over 4 rank directions. */
const LORA_GA_ITERATIONS = 4;
const DIRECTIONS_A_RANK = 4;
/** Directions beyond those that are taken, at most: more cost much and change nothing. */
const MOST_SPARE_DIRECTIONS = 32;
/** The authors' `stable_gamma`. */
const LORA_GA_GAMMA = 16;

/**
 * PiSSA (arXiv 2404.02948, equations 2 and 3, as PEFT's pissa_init): with W = U S Vᵀ, A = √(S/s) Vᵀ and B = U √(S/s) over the first r directions, so that s·BA is
 * the principal part of W.
 * @param weight [out, in]
 * @throws AppError `invalid_request` for a rank above that of the weight.
 */
export function pissaFactors(products: Products, weight: Float32Array, target: TargetSite, stream: RandomStream): Factors {
  const { rank, scale } = target;
  requireDirections('pissa', target, rank);
  const { left, singularValues, right } = strongest(products, weight, target, { count: rank, iterations: PISSA_ITERATIONS, stream });
  const roots = singularValues.map((value) => Math.sqrt(value / scale));
  return factors(scaleColumns(right, roots), scaleColumns(left, roots));
}

/**
 * LoRA-GA (arXiv 2407.05000, theorem 3.1 and section 3.3, as the authors' lora_ga_init with direction ArB2r and scale `stable`): of the gradient's singular
 * directions, A takes the first r right ones, B the left ones r to 2r - 1, each times out^(1/4) / √gamma. Singular values are not multiplied in.
 * @param gradient dL/dW [out, in], of any scale.
 * @throws AppError `invalid_request` for a rank above half of the weight's smaller side.
 */
export function loraGaFactors(products: Products, gradient: Float32Array, target: TargetSite, stream: RandomStream): Factors {
  const { rank, site } = target;
  requireDirections('lora_ga', target, 2 * rank);
  const { left, right } = strongest(products, gradient, target, { count: 2 * rank, iterations: LORA_GA_ITERATIONS, stream });
  const stable = new Float64Array(rank).fill(site.outFeatures ** 0.25 / Math.sqrt(LORA_GA_GAMMA));
  return factors(scaleColumns(columnsOf(right, 0, rank), stable), scaleColumns(columnsOf(left, rank, 2 * rank), stable));
}

interface Wanted {
  readonly count: number;
  readonly iterations: number;
  readonly stream: RandomStream;
}

function strongest(products: Products, values: Float32Array, { site, rank }: TargetSite, wanted: Wanted) {
  const subspace = Math.min(DIRECTIONS_A_RANK * rank, wanted.count + MOST_SPARE_DIRECTIONS);
  return randomisedSvd(products, dense(site.outFeatures, site.inFeatures, values), { ...wanted, subspace });
}

/** @param right [in, rank] @param left [out, rank] */
function factors(right: Dense, left: Dense): Factors {
  return { a: Float32Array.from(transposed(right).values), b: Float32Array.from(left.values) };
}

function requireDirections(init: string, { site, rank }: TargetSite, count: number): void {
  const most = Math.min(site.inFeatures, site.outFeatures);
  if (count <= most) return;
  const message = `lora.init ${init}: got rank ${rank} for ${site.module} [${site.outFeatures}, ${site.inFeatures}], expected at most ${Math.floor((most * rank) / count)}`;
  throw new AppError('invalid_request', message, { param: 'lora.r' });
}
