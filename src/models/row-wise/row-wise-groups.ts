// The projection groups of a base that could be row-wise, with how their inputs are smoothed: from the weights and the calibration.
import { compileDecoder, hasEvenInputs, HEAD_SITE, type OtherGroups, type RowWise, type RowWiseGroup } from '../../architectures/index.ts';
import { recipeShape, type RowLevels, type WeightRecipe } from '../../graph/index.ts';
import type { Calibration } from '../calibration/calibration.ts';
import type { Checkpoint } from '../checkpoint.ts';
import { createMaterialiser } from '../materialise.ts';
import type { ModelPackage } from '../model-package.ts';
import type { Machine } from '../serving-forms.ts';
import { chooseGroups } from './choose-groups.ts';
import { smoothingFactors } from './smoothing-factors.ts';

/**
 * Bounds of the divergences' sum, in nats. The other groups are block-wise or have two products, both with 0.0028 in all, and an int8 cache adds
 * 0.001. With full levels the form stands beside int8 by default and must be as exact.
 */
const LARGEST_DIVERGENCE = { paired: 0.004, full: 0.002 } as const satisfies Record<RowLevels, number>;

/**
 * Groups that calibration tries. Full: those that usually bear one product; the bound is used up by them, the rest keeps two. Trying all takes twice
 * as long.
 */
export function triedGroups(config: ModelPackage['config'], levels: RowLevels): readonly string[] {
  const weights = [...groupWeights(config)];
  return weights.filter(([, weight]) => levels === 'paired' || hasEvenInputs(weight)).map(([group]) => group);
}

/** How a machine multiplies in integers. */
export interface RowKernels {
  readonly levels: RowLevels;
  readonly others: OtherGroups;
}

export function rowKernels({ hasInt8DotProduct, hasInt8Tiles }: Pick<Machine, 'hasInt8DotProduct' | 'hasInt8Tiles'>): RowKernels {
  return { levels: hasInt8DotProduct ? 'full' : 'paired', others: hasInt8Tiles ? 'two-products' : 'blocks' };
}

/** Weights [outFeatures, inFeatures] of the fused linears, by group. */
export function groupWeights(config: ModelPackage['config']): ReadonlyMap<string, WeightRecipe> {
  const { graph } = compileDecoder(config, { precision: 'fp32', lora: 'none', maxContext: 1 });
  const weights = new Map<string, WeightRecipe>();
  for (const { site, inputs } of graph.nodes) {
    const recipe = site?.kind === 'linear' && inputs[1] ? graph.recipe(inputs[1]) : undefined;
    if (site && recipe?.kind === 'transpose') weights.set(site.group, recipe.of);
  }
  return weights;
}

/** Smoothing of all groups, or of the named ones. */
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
export async function chosenRowWise(model: ModelPackage, { inputMax, divergences }: Calibration, kernels: RowKernels): Promise<RowWise> {
  const { config } = model;
  const trials = [...groupWeights(config)].map(([group, weight]) => ({
    group,
    divergence: divergences.get(group) ?? Infinity,
    weightCount: recipeShape(weight).reduce((product, size) => product * size, 1),
  }));
  await using checkpoint = await model.openCheckpoint();
  const smoothed = await smoothing(config, checkpoint, inputMax, chooseGroups(trials, LARGEST_DIVERGENCE[kernels.levels]));
  const groups = new Map<string, RowWiseGroup>([...smoothed].map(([group, factors]) => [group, { products: 1, smoothing: factors }]));
  const left = [...trials.map(({ group }) => group), HEAD_SITE].filter((group) => !groups.has(group));
  if (kernels.others === 'two-products') for (const group of left) groups.set(group, { products: 2, smoothing: null });
  return { ...kernels, groups };
}
