// How many values of a weight at 8 bits share a scale. Pure policy over the checkpoint's names.
import { type BlockSize, recipeShape, recipeTensors, type WeightRecipe } from '../graph/index.ts';

/** Projections whose inputs bear one scale for 64 channels. Those of down have outliers, q and k decide where to look, the head between near ties. */
const WIDE = /\.(?:o_proj|gate_proj|up_proj)\.weight$/;

/** 64 where accuracy and width allow it, which kernels read faster and which has half of the scales; else 32. */
export function int8BlockSize(weight: WeightRecipe): BlockSize {
  const [, width = 0] = recipeShape(weight);
  return width % 64 === 0 && recipeTensors(weight).every((tensor) => WIDE.test(tensor)) ? 64 : 32;
}
