// The projection groups of a base that could be row-wise, with how their inputs are smoothed: from the weights and the calibration.
import { compileDecoder, type RowWise } from '../../architectures/index.ts';
import { recipeShape, type WeightRecipe } from '../../graph/index.ts';
import type { Calibration } from '../calibration/calibration.ts';
import type { Checkpoint } from '../checkpoint.ts';
import { createMaterialiser } from '../materialise.ts';
import type { ModelPackage } from '../model-package.ts';
import { chooseGroups } from './choose-groups.ts';
import { smoothingFactors } from './smoothing-factors.ts';

/**
 * Bound of the divergences' sum, in nats. Block-wise int8 has 0.0028 by itself and an int8 cache adds 0.001, so the whole stays below 0.008
 * with room for texts that are unlike the calibration's.
 */
const LARGEST_DIVERGENCE = 0.004;

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
): Promise<RowWise> {
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

/** The row-wise groups of this base's w8a8 form. */
export async function chosenRowWise(model: ModelPackage, { inputMax, divergences }: Calibration): Promise<RowWise> {
  const { config } = model;
  const trials = [...groupWeights(config)].map(([group, weight]) => ({
    group,
    divergence: divergences.get(group) ?? Infinity,
    weightCount: recipeShape(weight).reduce((product, size) => product * size, 1),
  }));
  await using checkpoint = await model.openCheckpoint();
  return await smoothing(config, checkpoint, inputMax, chooseGroups(trials, LARGEST_DIVERGENCE));
}
