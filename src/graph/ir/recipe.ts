// How the bytes of an initializer come from the checkpoint, as pure data: all graphs of a base share what has the same key.
// Knows names and shapes; reading, quantising and storing bytes is done by whoever holds the checkpoint.
import { createHash } from 'node:crypto';
import { elementCount, type ElementType } from './tensor-type.ts';

/** Values along the input dimension that share a scale. */
export type BlockSize = 32 | 64;
/** Values along the input dimension that a Hadamard matrix turns together. */
export type RotationSize = 16 | 32;
/** Every width that can be quantised is a multiple of it; always that of 4 bits. */
export const SMALLEST_BLOCK: BlockSize = 32;

export type ConstantValues = Float32Array | BigInt64Array | Int32Array | Uint8Array | Int8Array;

/**
 * Parts of a quantised weight W [N, K] with K/size blocks in a row, in the layouts of MatMulNBits:
 * - `data`: uint8 [N, K/size, size * bits / 8]; at 4 bits the low nibble comes first.
 * - `scales`: float32 [N, K/size].
 * - `zeros` (8 bits): uint8 [N, K/size]; w = scale * (q - zero).
 * - `minimums` (4 bits): float32 [K/size, N]; w = scale * (q - 8) + minimum, so minimum = m + 8 d of a Q4_1 block.
 */
export type QuantisedPart = 'data' | 'scales' | 'zeros' | 'minimums';

/**
 * Parts of W [N, K] with one scale a row of W, in the layouts of MatMulIntegerToFloat: `data` int8 [K, N], `scales` float32 [N], `zeros` int8 [N];
 * w[n, k] = (data[k, n] - zeros[n]) * scales[n].
 */
export type RowPart = 'data' | 'scales' | 'zeros';

/**
 * full: all 256 levels with a zero point, for kernels with int8 dot products. paired: no zeros, and neighbouring levels that cannot saturate 16
 * bits, for kernels without.
 */
export type RowLevels = 'full' | 'paired';

export type WeightRecipe =
  /** A tensor of the checkpoint as float32, in Hugging Face's name and layout: a linear's weight is [out, in]. */
  | { readonly kind: 'checkpoint'; readonly tensor: string; readonly shape: readonly number[] }
  /** Parts one after the other along the first axis. */
  | { readonly kind: 'concat'; readonly axis: 0; readonly parts: readonly WeightRecipe[] }
  /** Rows `start` to `start + count` of a matrix; its bytes lie inside of the whole's. */
  | { readonly kind: 'rows'; readonly of: WeightRecipe; readonly start: number; readonly count: number }
  /** A matrix with its axes exchanged. */
  | { readonly kind: 'transpose'; readonly of: WeightRecipe }
  /** `of` [..., K] with every block of K turned by `hadamard(blockSize)`. */
  | { readonly kind: 'rotated'; readonly of: WeightRecipe; readonly blockSize: RotationSize }
  | {
      readonly kind: 'quantised';
      readonly of: WeightRecipe;
      readonly bits: 8 | 4;
      readonly blockSize: BlockSize;
      readonly part: QuantisedPart;
    }
  | { readonly kind: 'rowQuantised'; readonly of: WeightRecipe; readonly levels: RowLevels; readonly part: RowPart }
  /** `of` [..., K] times `factors` [K]. */
  | { readonly kind: 'product'; readonly of: WeightRecipe; readonly factors: WeightRecipe }
  | { readonly kind: 'values'; readonly shape: readonly number[]; readonly values: ConstantValues };

export function checkpoint(tensor: string, shape: readonly number[]): WeightRecipe {
  return { kind: 'checkpoint', tensor, shape };
}

export function transpose(of: WeightRecipe): WeightRecipe {
  return of.kind === 'transpose' ? of.of : { kind: 'transpose', of };
}

export function someRows(of: WeightRecipe, start: number, count: number): WeightRecipe {
  return { kind: 'rows', of, start, count };
}

export function concatRows(parts: readonly WeightRecipe[]): WeightRecipe {
  return { kind: 'concat', axis: 0, parts };
}

export function rotated(of: WeightRecipe, blockSize: RotationSize): WeightRecipe {
  return { kind: 'rotated', of, blockSize };
}

export function quantised(of: WeightRecipe, bits: 8 | 4, part: QuantisedPart, blockSize: BlockSize = SMALLEST_BLOCK): WeightRecipe {
  return { kind: 'quantised', of, bits, blockSize, part };
}

export function rowQuantised(of: WeightRecipe, levels: RowLevels, part: RowPart): WeightRecipe {
  return { kind: 'rowQuantised', of, levels, part };
}

export function product(of: WeightRecipe, factors: WeightRecipe): WeightRecipe {
  return { kind: 'product', of, factors };
}

export function constant(values: ConstantValues, shape: readonly number[] = [values.length]): WeightRecipe {
  return { kind: 'values', shape, values };
}

/** Shape in which the recipe's bytes are laid out. Throws when the parts do not fit together. */
export function recipeShape(recipe: WeightRecipe): readonly number[] {
  switch (recipe.kind) {
    case 'checkpoint':
      return recipe.shape;
    case 'values':
      if (elementCount(recipe.shape) !== recipe.values.length)
        throw new Error(`constant of ${recipe.values.length} values has the shape [${recipe.shape.join(', ')}]`);
      return recipe.shape;
    case 'transpose': {
      const [rows, columns] = matrixShape(recipe.of);
      return [columns, rows];
    }
    case 'concat':
      return concatShape(recipe.parts);
    case 'rows':
      return rowsShape(recipe);
    case 'quantised':
      return quantisedShape(recipe);
    case 'rowQuantised': {
      const [rows, columns] = matrixShape(recipe.of);
      return recipe.part === 'data' ? [columns, rows] : [rows];
    }
    case 'rotated':
      return rotatedShape(recipe);
    case 'product':
      return productShape(recipeShape(recipe.of), recipeShape(recipe.factors));
  }
}

export function recipeType(recipe: WeightRecipe): ElementType {
  switch (recipe.kind) {
    case 'checkpoint':
      return 'float32';
    case 'transpose':
    case 'rows':
      return recipeType(recipe.of);
    case 'concat':
      return recipe.parts[0] ? recipeType(recipe.parts[0]) : 'float32';
    case 'quantised':
      return recipe.part === 'data' || recipe.part === 'zeros' ? 'uint8' : 'float32';
    case 'rowQuantised':
      return recipe.part === 'scales' ? 'float32' : 'int8';
    case 'rotated':
    case 'product':
      return 'float32';
    case 'values':
      return constantType(recipe.values);
  }
}

/**
 * Names the bytes that a recipe makes: equal keys, equal bytes, in every graph of one base. The shape is no part of it, so one stored
 * weight may be read as [N, K/size, size] by one node and as [N, K] by another.
 */
export function recipeKey(recipe: WeightRecipe): string {
  switch (recipe.kind) {
    case 'checkpoint':
      return recipe.tensor;
    case 'transpose':
      return `transpose(${recipeKey(recipe.of)})`;
    case 'rows':
      return `rows(${recipeKey(recipe.of)},${recipe.start},${recipe.count})`;
    case 'concat':
      return `concat(${recipe.parts.map(recipeKey).join(',')})`;
    case 'rotated':
      return `hadamard${recipe.blockSize}(${recipeKey(recipe.of)})`;
    case 'quantised':
      return `q${recipe.bits}x${recipe.blockSize}.${recipe.part}(${recipeKey(recipe.of)})`;
    case 'rowQuantised':
      return `w8.${recipe.levels}.${recipe.part}(${recipeKey(recipe.of)})`;
    case 'product':
      return `product(${recipeKey(recipe.of)},${recipeKey(recipe.factors)})`;
    case 'values':
      return `values(${constantDigest(recipe.values)})`;
  }
}

/** Tensors of the checkpoint that the recipe reads. */
export function recipeTensors(recipe: WeightRecipe): readonly string[] {
  switch (recipe.kind) {
    case 'checkpoint':
      return [recipe.tensor];
    case 'concat':
      return recipe.parts.flatMap(recipeTensors);
    case 'product':
      return [...recipeTensors(recipe.of), ...recipeTensors(recipe.factors)];
    case 'transpose':
    case 'rows':
    case 'rotated':
    case 'quantised':
    case 'rowQuantised':
      return recipeTensors(recipe.of);
    case 'values':
      return [];
  }
}

function matrixShape(recipe: WeightRecipe): readonly [number, number] {
  const shape = recipeShape(recipe);
  const [rows, columns] = shape;
  if (shape.length !== 2 || rows === undefined || columns === undefined)
    throw new Error(`${recipeKey(recipe)} has the shape [${shape.join(', ')}], expected a matrix`);
  return [rows, columns];
}

function rowsShape({ of, start, count }: WeightRecipe & { readonly kind: 'rows' }): readonly number[] {
  const [rows, columns] = matrixShape(of);
  if (start < 0 || count < 1 || start + count > rows)
    throw new Error(`rows ${start} to ${start + count} of ${recipeKey(of)}, which has ${rows}`);
  return [count, columns];
}

function rotatedShape({ of, blockSize }: WeightRecipe & { readonly kind: 'rotated' }): readonly number[] {
  const shape = recipeShape(of);
  const width = shape.at(-1) ?? 0;
  if (width % blockSize !== 0) throw new Error(`${recipeKey(of)} has rows of ${width}, expected a multiple of ${blockSize}`);
  return shape;
}

function concatShape(parts: readonly WeightRecipe[]): readonly number[] {
  const shapes = parts.map(recipeShape);
  const [first] = shapes;
  if (!first || first.length === 0) throw new Error('concat needs parts with at least one axis');
  const inner = first.slice(1);
  for (const shape of shapes) {
    if (shape.length !== first.length || inner.some((dim, axis) => dim !== shape[axis + 1])) {
      throw new Error(`concat of [${first.join(', ')}] and [${shape.join(', ')}]: all but the first axis must agree`);
    }
  }
  return [shapes.reduce((rows, shape) => rows + (shape[0] ?? 0), 0), ...inner];
}

function productShape(shape: readonly number[], factors: readonly number[]): readonly number[] {
  if (factors.length !== 1 || factors[0] !== shape.at(-1))
    throw new Error(`product of [${shape.join(', ')}] and factors [${factors.join(', ')}]: expected [${shape.at(-1) ?? 'K'}]`);
  return shape;
}

function quantisedShape(recipe: WeightRecipe & { readonly kind: 'quantised' }): readonly number[] {
  const [rows, columns] = matrixShape(recipe.of);
  if (columns % recipe.blockSize !== 0)
    throw new Error(`${recipeKey(recipe.of)} has rows of ${columns}, expected a multiple of ${recipe.blockSize}`);
  const blocks = columns / recipe.blockSize;
  switch (recipe.part) {
    case 'data':
      return [rows, blocks, (recipe.blockSize * recipe.bits) / 8];
    case 'minimums':
      return [blocks, rows];
    case 'scales':
    case 'zeros':
      return [rows, blocks];
  }
}

export function constantType(values: ConstantValues): ElementType {
  if (values instanceof Float32Array) return 'float32';
  if (values instanceof BigInt64Array) return 'int64';
  if (values instanceof Int32Array) return 'int32';
  if (values instanceof Int8Array) return 'int8';
  return 'uint8';
}

/** Little-endian bytes of a constant. */
export function constantBytes(values: ConstantValues): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

const digests = new WeakMap<ConstantValues, string>();

/** Hash of a constant's type and bytes, remembered because rope tables are large and shared. Constants are never changed. */
function constantDigest(values: ConstantValues): string {
  let digest = digests.get(values);
  if (digest === undefined) {
    digest = createHash('sha256')
      .update(`${constantType(values)}:`)
      .update(constantBytes(values))
      .digest('hex')
      .slice(0, 32);
    digests.set(values, digest);
  }
  return digest;
}
