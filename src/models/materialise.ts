// Turns weight recipes into bytes: the only place where a checkpoint's values become what a graph's initializer holds.
import {
  constantBytes,
  type QuantisedPart,
  recipeKey,
  recipeShape,
  rotateBlocks,
  type RowPart,
  type WeightRecipe,
} from '../graph/index.ts';
import type { Checkpoint } from './checkpoint.ts';
import { type Int8Channels, quantiseChannels } from './quantise-channels.ts';
import { type Int4Blocks, type Int8Blocks, quantiseInt4, quantiseInt8 } from './quantise.ts';

export interface Materialiser {
  /** Little-endian bytes of the recipe. @throws Error when the checkpoint lacks a tensor or has another shape. */
  bytes(recipe: WeightRecipe): Promise<Uint8Array>;
}

/** Parts of one quantised weight follow each other, so the last result is kept. */
export function createMaterialiser(checkpoint: Checkpoint): Materialiser {
  let lastKey = '';
  let lastParts: QuantisedWeight | null = null;

  async function floats(recipe: WeightRecipe): Promise<Float32Array> {
    switch (recipe.kind) {
      case 'checkpoint':
        return readChecked(checkpoint, recipe.tensor, recipe.shape);
      case 'transpose':
        return transposed(await floats(recipe.of), recipeShape(recipe.of));
      case 'concat':
        return joined(await Promise.all(recipe.parts.map(floats)));
      case 'rows': {
        const [, columns = 0] = recipeShape(recipe);
        return (await floats(recipe.of)).slice(recipe.start * columns, (recipe.start + recipe.count) * columns);
      }
      case 'values':
        if (recipe.values instanceof Float32Array) return recipe.values;
        throw new Error(`${recipeKey(recipe)} does not hold float32 values`);
      case 'product':
        return scaledColumns(await floats(recipe.of), await floats(recipe.factors));
      case 'rotated':
        return rotateBlocks(await floats(recipe.of), recipe.blockSize);
      case 'quantised':
      case 'rowQuantised':
        throw new Error(`${recipeKey(recipe)} cannot be part of another recipe`);
    }
  }

  async function quantisedParts(recipe: QuantisedRecipe): Promise<QuantisedWeight> {
    const key = `${recipe.kind === 'quantised' ? `${recipe.bits}x${recipe.blockSize}` : recipe.levels}:${recipeKey(recipe.of)}`;
    if (key === lastKey && lastParts) return lastParts;
    const values = await floats(recipe.of);
    const rowCount = recipeShape(recipe.of)[0] ?? 0;
    if (recipe.kind === 'rowQuantised') lastParts = quantiseChannels(values, rowCount, recipe.levels);
    else lastParts = recipe.bits === 8 ? quantiseInt8(values, recipe.blockSize) : quantiseInt4(values, rowCount);
    lastKey = key;
    return lastParts;
  }

  return {
    async bytes(recipe) {
      if (recipe.kind === 'values') return constantBytes(recipe.values);
      if (recipe.kind !== 'quantised' && recipe.kind !== 'rowQuantised') return view(await floats(recipe));
      const part = partOf(await quantisedParts(recipe), recipe.part);
      if (!part) throw new Error(`${recipeKey(recipe)} names a part that such weights have not`);
      return view(part);
    },
  };
}

type QuantisedRecipe = WeightRecipe & { readonly kind: 'quantised' | 'rowQuantised' };
type QuantisedWeight = Int8Blocks | Int4Blocks | Int8Channels;

function partOf(weight: QuantisedWeight, part: QuantisedPart | RowPart): Uint8Array | Int8Array | Float32Array | undefined {
  switch (part) {
    case 'data':
      return weight.data;
    case 'scales':
      return weight.scales;
    case 'zeros':
      return 'zeros' in weight ? weight.zeros : undefined;
    case 'minimums':
      return 'minimums' in weight ? weight.minimums : undefined;
  }
}

async function readChecked(checkpoint: Checkpoint, name: string, shape: readonly number[]): Promise<Float32Array> {
  const tensor = await checkpoint.read(name);
  if (tensor.shape.length !== shape.length || tensor.shape.some((size, axis) => size !== shape[axis])) {
    throw new Error(`weight ${name} has the shape [${tensor.shape.join(', ')}], the configuration says [${shape.join(', ')}]`);
  }
  return tensor.values;
}

function transposed(values: Float32Array, [rows = 0, columns = 0]: readonly number[]): Float32Array {
  const result = new Float32Array(values.length);
  const TILE = 32;
  for (let rowStart = 0; rowStart < rows; rowStart += TILE) {
    for (let columnStart = 0; columnStart < columns; columnStart += TILE) {
      const rowEnd = Math.min(rows, rowStart + TILE);
      const columnEnd = Math.min(columns, columnStart + TILE);
      for (let row = rowStart; row < rowEnd; row++) {
        for (let column = columnStart; column < columnEnd; column++) result[column * rows + row] = values[row * columns + column] ?? 0;
      }
    }
  }
  return result;
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const result = new Float32Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    result.set(part, offset);
    offset += part.length;
  }
  return result;
}

/** `values` [..., K] times `factors` [K]. */
function scaledColumns(values: Float32Array, factors: Float32Array): Float32Array {
  const width = factors.length;
  return values.map((value, index) => value * (factors[index % width] ?? 0));
}

function view(values: Uint8Array | Int8Array | Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
