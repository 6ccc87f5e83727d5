// The projection groups of a base that could be row-wise, with how their inputs are smoothed and turned: from the weights and the calibration.
import {
  compileDecoder,
  hasCommonRange,
  type OtherGroups,
  rotationSize,
  type RowWise,
  type RowWiseGroup,
  TWO_PRODUCTS,
} from '../../architectures/index.ts';
import type { RowLevels, RowTrial, WeightRecipe } from '../../graph/index.ts';
import type { Calibration } from '../calibration/calibration.ts';
import type { Checkpoint } from '../checkpoint.ts';
import { createMaterialiser } from '../materialise.ts';
import type { ModelPackage } from '../model-package.ts';
import type { Machine } from '../serving-forms.ts';
import { smoothingFactors } from './smoothing-factors.ts';

/** How a machine multiplies in integers. */
export interface RowKernels {
  readonly levels: RowLevels;
  readonly others: OtherGroups;
}

export function rowKernels({ hasInt8DotProduct, hasInt8Tiles }: Pick<Machine, 'hasInt8DotProduct' | 'hasInt8Tiles'>): RowKernels {
  return { levels: hasInt8DotProduct ? 'full' : 'paired', others: hasInt8Tiles ? 'two-products' : 'blocks' };
}

/** Weights [outFeatures, inFeatures] of the fused linears and the head, by group. */
export function groupWeights(config: ModelPackage['config']): ReadonlyMap<string, WeightRecipe> {
  const { graph } = compileDecoder(config, { precision: 'fp32', lora: 'none', maxContext: 1 });
  const weights = new Map<string, WeightRecipe>();
  for (const { site, inputs } of graph.nodes) {
    const recipe = site && site.kind !== 'embedding' && inputs[1] ? graph.recipe(inputs[1]) : undefined;
    if (site && recipe?.kind === 'transpose') weights.set(site.group, recipe.of);
  }
  return weights;
}

/** How each group is tried, and multiplied where it is chosen. */
export function rowTrials(config: ModelPackage['config']): ReadonlyMap<string, RowTrial> {
  return new Map(
    [...groupWeights(config)].map(([group, weight]) => [group, { rotation: rotationSize(weight), hasRange: hasCommonRange(weight) }]),
  );
}

/** Smoothing of all groups whose inputs were seen, or of the named ones of them. */
export async function smoothing(
  config: ModelPackage['config'],
  checkpoint: Checkpoint,
  inputMax: Calibration['inputMax'],
  groups?: readonly string[],
): Promise<ReadonlyMap<string, Float32Array>> {
  const materialiser = createMaterialiser(checkpoint);
  const factors = new Map<string, Float32Array>();
  for (const [group, weight] of groupWeights(config)) {
    const largest = inputMax.get(group);
    if (!largest || (groups && !groups.includes(group))) continue;
    const { buffer, byteOffset, byteLength } = await materialiser.bytes(weight);
    factors.set(group, smoothingFactors(largest, new Float32Array(buffer, byteOffset, byteLength / Float32Array.BYTES_PER_ELEMENT)));
  }
  return factors;
}

/** The row-wise groups of this base's w8a8 form: those that bear 8 bits of x have one product, the others two, or stay in blocks. */
export async function chosenRowWise(model: ModelPackage, calibration: Calibration, kernels: RowKernels): Promise<RowWise> {
  const { config } = model;
  await using checkpoint = await model.openCheckpoint();
  const smoothed = await smoothing(config, checkpoint, calibration.inputMax, calibration.oneProduct);
  const groups = new Map<string, RowWiseGroup>();
  for (const [group, { rotation, hasRange }] of rowTrials(config)) {
    const range = hasRange ? (calibration.ranges.get(group) ?? null) : null;
    if (calibration.oneProduct.includes(group)) groups.set(group, { products: 1, rotation, range, smoothing: smoothed.get(group) ?? null });
    else if (kernels.others === 'two-products') groups.set(group, TWO_PRODUCTS);
  }
  return { ...kernels, groups };
}
