// What is known of a llama's projections before anything is measured: whose inputs bear coarse scales. Pure policy over the checkpoint's names.
import { type BlockSize, recipeShape, recipeTensors, type RotationSize, SMALLEST_BLOCK, type WeightRecipe } from '../graph/index.ts';

/** Those of down have outliers, q and k decide where to look, the head between near ties (DECISIONS.md here and in models/). */
const EVEN = /\.(?:o_proj|gate_proj|up_proj)\.weight$/;
/** Averages of values, which have no outliers. */
const ATTENDED = /\.o_proj\.weight$/;
/** A norm has given all rows one length. */
const NORMED = /\.(?:q_proj|k_proj|v_proj|gate_proj|up_proj)\.weight$/;

/** Values at 8 bits that share a scale: 64 where accuracy and width allow it, which kernels read faster and which has half of the scales; else 32. */
export function int8BlockSize(weight: WeightRecipe): BlockSize {
  return areAll(weight, EVEN) && widthOf(weight) % 64 === 0 ? 64 : SMALLEST_BLOCK;
}

/**
 * Inputs that are turned together before a row is rounded to 8 bits: fewer, which costs less, where a norm and its smoothing have evened them already.
 * null: they bear it as they are, or their number has no such divisor.
 */
export function rotationSize(weight: WeightRecipe): RotationSize | null {
  const size = areAll(weight, NORMED) ? 16 : 32;
  return areAll(weight, ATTENDED) || widthOf(weight) % size !== 0 ? null : size;
}

/** Whether turned inputs of all rows are of much the same size, so that one range serves all of them. */
export function hasCommonRange(weight: WeightRecipe): boolean {
  return areAll(weight, NORMED) && rotationSize(weight) !== null;
}

/** Whether this weight, or every part of it where projections are fused, is of that kind. */
function areAll(weight: WeightRecipe, kind: RegExp): boolean {
  return recipeTensors(weight).every((tensor) => kind.test(tensor));
}

function widthOf(weight: WeightRecipe): number {
  return recipeShape(weight)[1] ?? 0;
}
