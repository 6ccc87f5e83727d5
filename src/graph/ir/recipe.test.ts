import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  checkpoint,
  concatRows,
  constant,
  product,
  quantised,
  recipeKey,
  recipeShape,
  recipeType,
  rowQuantised,
  transpose,
  type WeightRecipe,
} from './recipe.ts';

describe('a weight recipe', () => {
  const weight = checkpoint('w', [6, 64]);

  it('has the layouts of MatMulNBits when it is quantised', () => {
    const shapes = (['data', 'scales', 'zeros', 'minimums'] as const).map((part) => [
      recipeShape(quantised(weight, 8, part)),
      recipeType(quantised(weight, 8, part)),
    ]);
    expect(shapes).toEqual([
      [[6, 2, 32], 'uint8'],
      [[6, 2], 'float32'],
      [[6, 2], 'uint8'],
      [[2, 6], 'float32'],
    ]);
    expect(recipeShape(quantised(weight, 4, 'data'))).toEqual([6, 2, 16]);
  });

  it('has the layouts of MatMulIntegerToFloat when its rows are quantised, also with its columns multiplied', () => {
    const scaled = product(weight, checkpoint('factors', [64]));
    const shapes = (['data', 'scales', 'zeros'] as const).map((part) => [
      recipeShape(rowQuantised(scaled, 'full', part)),
      recipeType(rowQuantised(scaled, 'full', part)),
    ]);
    expect(shapes).toEqual([
      [[64, 6], 'int8'],
      [[6], 'float32'],
      [[6], 'int8'],
    ]);
  });

  it('is refused when its parts do not fit', () => {
    expect(() => recipeShape(quantised(checkpoint('w', [6, 65]), 8, 'data'))).toThrow('rows of 65, expected a multiple of 32');
    expect(() => recipeShape(transpose(checkpoint('norm', [6])))).toThrow('shape [6], expected a matrix');
    expect(() => recipeShape(concatRows([weight, checkpoint('v', [6, 63])]))).toThrow('all but the first axis must agree');
    expect(() => recipeShape(product(weight, checkpoint('factors', [6])))).toThrow('product of [6, 64] and factors [6]: expected [64]');
    expect(() => recipeShape(constant(Float32Array.of(1, 2), [3]))).toThrow('constant of 2 values has the shape [3]');
  });

  it('transposed twice is itself', () => {
    expect(transpose(transpose(weight))).toBe(weight);
  });

  it('has a key that tells types of constants apart, and is the same for equal values', () => {
    expect(recipeKey(constant(new Float32Array(2)))).toBe(recipeKey(constant(new Float32Array(2), [1, 2])));
    expect(recipeKey(constant(new Float32Array(2)))).not.toBe(recipeKey(constant(new Int32Array(2))));
    expect(recipeKey(constant(new Float32Array(2)))).not.toBe(recipeKey(constant(Float32Array.of(0, 1))));
  });

  it('has a key of its own for every different tree', () => {
    const { tree } = fc.letrec<{ tree: WeightRecipe }>((tie) => ({
      tree: fc.oneof(
        { maxDepth: 3 },
        fc.constantFrom('a', 'b').map((name) => checkpoint(name, [32, 32])),
        tie('tree').map((of): WeightRecipe => ({ kind: 'transpose', of })),
        tie('tree').map((of) => product(of, checkpoint('f', [32]))),
        fc.tuple(tie('tree'), fc.constantFrom('full' as const, 'paired' as const)).map(([of, levels]) => rowQuantised(of, levels, 'data')),
        fc.array(tie('tree'), { minLength: 1, maxLength: 3 }).map(concatRows),
        fc
          .tuple(
            tie('tree'),
            fc.constantFrom(8 as const, 4 as const),
            fc.constantFrom('data' as const, 'scales' as const),
            fc.constantFrom(32 as const, 64 as const),
          )
          .map(([of, ...form]) => quantised(of, ...form)),
      ),
    }));
    fc.assert(
      fc.property(tree, tree, (left, right) => {
        expect(recipeKey(left) === recipeKey(right)).toBe(JSON.stringify(left) === JSON.stringify(right));
      }),
      { seed: 11 },
    );
  });
});
