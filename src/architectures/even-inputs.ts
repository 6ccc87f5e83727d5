// What is known of a llama's projections before anything is measured: whose inputs bear coarse scales. Pure policy over the checkpoint's names.
import {
  type BlockForm,
  type BlockSize,
  recipeShape,
  recipeTensors,
  type RotationSize,
  SMALLEST_BLOCK,
  type WeightRecipe,
} from '../graph/index.ts';

/** Those of down have outliers, q and k decide where to look, the head between near ties (DECISIONS.md here and in models/). */
const EVEN = /\.(?:o_proj|gate_proj|up_proj)\.weight$/;
/** They decide where to look. */
const ATTENTIVE = /\.(?:q_proj|k_proj|v_proj)\.weight$/;
/** A tied pair is one tensor, and held once. */
const VOCABULARY = /\b(?:embed_tokens|lm_head)\.weight$/;
/** Averages of values, which have no outliers. */
const ATTENDED = /\.o_proj\.weight$/;
/** A norm has given all rows one length. */
const NORMED = /\.(?:q_proj|k_proj|v_proj|gate_proj|up_proj)\.weight$/;

/** Values at 8 bits that share a scale where inputs stay float32 or as they are: 64 where accuracy and width allow it, which has half of the scales; else 32. */
export function int8BlockSize(weight: WeightRecipe): BlockSize {
  return areAll(weight, EVEN) && isOfWideBlocks(weight) ? 64 : SMALLEST_BLOCK;
}

/**
 * How a weight that is multiplied with inputs of 8 bits is held in blocks: of 64, which kernels read faster, also where turned inputs bear it. Those of
 * down would as well, but to turn them takes longer than that saves.
 */
export function int8Blocks(weight: WeightRecipe): BlockForm {
  if (isOfWideBlocks(weight)) {
    if (areAll(weight, ATTENTIVE)) return { size: 64, rotation: 16 };
    if (areAll(weight, VOCABULARY)) return { size: 64, rotation: 32 };
  }
  return { size: int8BlockSize(weight), rotation: null };
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

function isOfWideBlocks(weight: WeightRecipe): boolean {
  return widthOf(weight) % 64 === 0;
}

function widthOf(weight: WeightRecipe): number {
  return recipeShape(weight)[1] ?? 0;
}
