// Turns weight recipes into bytes: the only place where a checkpoint's values become what a graph's initializer holds.
import { constantBytes, type QuantisedPart, recipeKey, recipeShape, type WeightRecipe } from '../graph/index.ts';
import type { Checkpoint } from './checkpoint.ts';
import { type Int4Blocks, type Int8Blocks, quantiseInt4, quantiseInt8 } from './quantise.ts';

export interface Materialiser {
  /** Little-endian bytes of the recipe. @throws Error when the checkpoint lacks a tensor or has another shape. */
  bytes(recipe: WeightRecipe): Promise<Uint8Array>;
}

/** Parts of one quantised weight follow each other, so the last result is kept. */
export function createMaterialiser(checkpoint: Checkpoint): Materialiser {
  let lastKey = '';
  let lastBlocks: Int8Blocks | Int4Blocks | null = null;

  async function floats(recipe: WeightRecipe): Promise<Float32Array> {
    switch (recipe.kind) {
      case 'checkpoint':
        return readChecked(checkpoint, recipe.tensor, recipe.shape);
      case 'transpose':
        return transposed(await floats(recipe.of), recipeShape(recipe.of));
      case 'concat':
        return joined(await Promise.all(recipe.parts.map(floats)));
      case 'values':
        if (recipe.values instanceof Float32Array) return recipe.values;
        throw new Error(`${recipeKey(recipe)} does not hold float32 values`);
      case 'quantised':
        throw new Error(`${recipeKey(recipe)} cannot be part of another recipe`);
    }
  }

  async function blocks(recipe: WeightRecipe & { readonly kind: 'quantised' }): Promise<Int8Blocks | Int4Blocks> {
    const key = `${recipe.bits}:${recipeKey(recipe.of)}`;
    if (key === lastKey && lastBlocks) return lastBlocks;
    const values = await floats(recipe.of);
    lastBlocks = recipe.bits === 8 ? quantiseInt8(values) : quantiseInt4(values, recipeShape(recipe.of)[0] ?? 0);
    lastKey = key;
    return lastBlocks;
  }

  return {
    async bytes(recipe) {
      if (recipe.kind === 'values') return constantBytes(recipe.values);
      if (recipe.kind !== 'quantised') return view(await floats(recipe));
      const made = await blocks(recipe);
      const part = partOf(made, recipe.part);
      if (!part) throw new Error(`${recipeKey(recipe)}: ${recipe.bits}-bit blocks have no ${recipe.part}`);
      return view(part);
    },
  };
}

function partOf(blocks: Int8Blocks | Int4Blocks, part: QuantisedPart): Uint8Array | Float32Array | undefined {
  switch (part) {
    case 'data':
      return blocks.data;
    case 'scales':
      return blocks.scales;
    case 'zeros':
      return 'zeros' in blocks ? blocks.zeros : undefined;
    case 'minimums':
      return 'minimums' in blocks ? blocks.minimums : undefined;
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

function view(values: Uint8Array | Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
