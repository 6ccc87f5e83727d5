// Bytes of weight recipes for tests: plain loops over the definition in graph/ir/recipe.ts, independent of the product's own writer.
import { type BlockSize, constantBytes, elementCount, recipeShape, type RowLevels, type WeightRecipe } from '../../../src/graph/index.ts';

/** Content of a checkpoint's tensor. */
export type Checkpoint = (tensor: string, elements: number) => Float32Array;

export function materialise(recipe: WeightRecipe, checkpoint: Checkpoint): Uint8Array {
  if (recipe.kind === 'values') return constantBytes(recipe.values);
  if (recipe.kind === 'quantised')
    return bytesOf(quantiseBlocks(floats(recipe.of, checkpoint), recipeShape(recipe.of)[0] ?? 0, recipe)[recipe.part]);
  if (recipe.kind === 'rowQuantised')
    return bytesOf(quantiseRows(floats(recipe.of, checkpoint), recipeShape(recipe.of)[0] ?? 0, recipe.levels)[recipe.part]);
  return bytesOf(floats(recipe, checkpoint));
}

/** Float content of a recipe that is not quantised. */
export function floats(recipe: WeightRecipe, checkpoint: Checkpoint): Float32Array {
  switch (recipe.kind) {
    case 'checkpoint':
      return checkpoint(recipe.tensor, elementCount(recipe.shape));
    case 'concat': {
      const parts = recipe.parts.map((part) => floats(part, checkpoint));
      const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
      let offset = 0;
      for (const part of parts) {
        whole.set(part, offset);
        offset += part.length;
      }
      return whole;
    }
    case 'transpose': {
      const source = floats(recipe.of, checkpoint);
      const [rows = 0, columns = 0] = recipeShape(recipe.of);
      return Float32Array.from(source, (_, index) => source[(index % rows) * columns + Math.floor(index / rows)] ?? 0);
    }
    case 'rotated':
      return turnedBlocks(floats(recipe.of, checkpoint), recipe.blockSize);
    case 'product': {
      const factors = floats(recipe.factors, checkpoint);
      return floats(recipe.of, checkpoint).map((value, index) => value * (factors[index % factors.length] ?? 0));
    }
    case 'rows': {
      const [, columns = 0] = recipeShape(recipe);
      return floats(recipe.of, checkpoint).subarray(recipe.start * columns, (recipe.start + recipe.count) * columns);
    }
    case 'values':
      if (recipe.values instanceof Float32Array) return recipe.values;
      throw new Error('these values are not floats');
    default:
      throw new Error(`${recipe.kind} is not made of floats`);
  }
}

interface Blocks {
  readonly data: Uint8Array;
  readonly scales: Float32Array;
  readonly zeros: Uint8Array;
  readonly minimums: Float32Array;
}

interface BlockForm {
  readonly bits: 8 | 4;
  readonly blockSize: BlockSize;
}

function quantiseBlocks(weight: Float32Array, rows: number, { bits, blockSize }: BlockForm): Blocks {
  const blockCount = weight.length / blockSize;
  const perRow = blockCount / rows;
  const levels = 2 ** bits - 1;
  const blocks: Blocks = {
    data: new Uint8Array((weight.length * bits) / 8),
    scales: new Float32Array(blockCount),
    zeros: new Uint8Array(blockCount),
    minimums: new Float32Array(blockCount),
  };
  for (let block = 0; block < blockCount; block++) {
    const values = weight.subarray(block * blockSize, (block + 1) * blockSize);
    const least = Math.min(0, ...values);
    const scale = (Math.max(0, ...values) - least) / levels || 1;
    const zero = Math.round(-least / scale);
    blocks.scales[block] = scale;
    blocks.zeros[block] = zero;
    blocks.minimums[(block % perRow) * rows + Math.floor(block / perRow)] = least + 8 * scale;
    for (const [index, value] of values.entries()) {
      const position = block * blockSize + index;
      if (bits === 8) blocks.data[position] = Math.min(levels, Math.max(0, Math.round(value / scale) + zero));
      else
        blocks.data[position >> 1] =
          (blocks.data[position >> 1] ?? 0) | (Math.round((value - least) / scale) << (position % 2 === 0 ? 0 : 4));
    }
  }
  return blocks;
}

/** Each block times a Hadamard matrix, which is its own inverse. */
function turnedBlocks(values: Float32Array, blockSize: number): Float32Array {
  const sign = (row: number, column: number): number => ((row & column).toString(2).replaceAll('0', '').length % 2 === 0 ? 1 : -1);
  return values.map((_, index) => {
    const [block, column] = [index - (index % blockSize), index % blockSize];
    const sum = values.subarray(block, block + blockSize).reduce((total, value, row) => total + sign(row, column) * value, 0);
    return sum / Math.sqrt(blockSize);
  });
}

/** What a weight [rows, inFeatures] is after quantising, turned or as it is: the numbers that the blocks stand for, turned back. */
export function quantisedAndBack(
  weight: Float32Array,
  rows: number,
  { rotation, ...form }: BlockForm & { readonly rotation: number | null },
): Float32Array {
  if (rotation === null) return blocksAndBack(weight, rows, form);
  return turnedBlocks(blocksAndBack(turnedBlocks(weight, rotation), rows, form), rotation);
}

function blocksAndBack(weight: Float32Array, rows: number, form: BlockForm): Float32Array {
  const { bits, blockSize } = form;
  const { data, scales, zeros, minimums } = quantiseBlocks(weight, rows, form);
  const perRow = weight.length / rows / blockSize;
  return weight.map((_, position) => {
    const block = Math.floor(position / blockSize);
    const scale = scales[block] ?? 0;
    if (bits === 8) return scale * ((data[position] ?? 0) - (zeros[block] ?? 0));
    const nibble = ((data[position >> 1] ?? 0) >> (position % 2 === 0 ? 0 : 4)) & 15;
    return scale * (nibble - 8) + (minimums[(block % perRow) * rows + Math.floor(block / perRow)] ?? 0);
  });
}

interface Rows {
  readonly data: Int8Array;
  readonly scales: Float32Array;
  readonly zeros: Int8Array;
}

/** Levels up to 64, or up to 60 around a zero of at most 3, so that no pair of products leaves 16 bits on any processor. */
function quantiseRows(weight: Float32Array, rows: number, levels: RowLevels): Rows {
  const columns = weight.length / rows;
  const zeros = Int8Array.from({ length: rows }, (_, row) => (levels === 'full' ? (row % 7) - 3 : 0));
  const scales = Float32Array.from({ length: rows }, (_, row) => {
    const sizes = weight.subarray(row * columns, (row + 1) * columns).map(Math.abs);
    return Math.max(...sizes) / (levels === 'full' ? 60 : 64);
  });
  const data = Int8Array.from(weight, (_, position) => {
    const [column, row] = [Math.floor(position / rows), position % rows];
    return Math.round((weight[row * columns + column] ?? 0) / (scales[row] ?? 1)) + (zeros[row] ?? 0);
  });
  return { data, scales, zeros };
}

/** What a weight [rows, inFeatures] is after quantising with a scale a row. */
export function rowQuantisedAndBack(weight: Float32Array, rows: number, levels: RowLevels): Float32Array {
  const { data, scales, zeros } = quantiseRows(weight, rows, levels);
  const columns = weight.length / rows;
  return weight.map((_, position) => {
    const [row, column] = [Math.floor(position / columns), position % columns];
    return ((data[column * rows + row] ?? 0) - (zeros[row] ?? 0)) * (scales[row] ?? 0);
  });
}

function bytesOf(values: Float32Array | Uint8Array | Int8Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
