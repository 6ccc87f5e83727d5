// What is known of a llama's projections before anything is measured: whose inputs bear coarse scales. Pure policy over the checkpoint's names.
import { type BlockSize, recipeShape, recipeTensors, type WeightRecipe } from '../graph/index.ts';

/** Those of down have outliers, q and k decide where to look, the head between near ties (DECISIONS.md here and in models/). */
const EVEN = /\.(?:o_proj|gate_proj|up_proj)\.weight$/;

/** Whether this weight, or every part of it where projections are fused, is of o, gate or up. */
export function hasEvenInputs(weight: WeightRecipe): boolean {
  return recipeTensors(weight).every((tensor) => EVEN.test(tensor));
}

/** Values at 8 bits that share a scale: 64 where accuracy and width allow it, which kernels read faster and which has half of the scales; else 32. */
export function int8BlockSize(weight: WeightRecipe): BlockSize {
  const [, width = 0] = recipeShape(weight);
  return width % 64 === 0 && hasEvenInputs(weight) ? 64 : 32;
}
