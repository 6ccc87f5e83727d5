import { describe, expect, it } from 'vitest';
import { hadamard, rotateBlocks } from './hadamard.ts';

const SIZES = [1, 2, 8, 64];

describe('hadamard', () => {
  it.each(SIZES)('of size %i is symmetric, orthogonal and of entries of one size', (size) => {
    const matrix = hadamard(size);
    const entry = (row: number, column: number): number => matrix[row * size + column] ?? NaN;
    for (let row = 0; row < size; row++) {
      for (let column = 0; column < size; column++) {
        expect(Math.abs(entry(row, column))).toBeCloseTo(1 / Math.sqrt(size), 6);
        expect(entry(row, column)).toBe(entry(column, row));
        const dot = Array.from({ length: size }, (_, index) => entry(row, index) * entry(index, column)).reduce(
          (sum, value) => sum + value,
          0,
        );
        expect(dot).toBeCloseTo(row === column ? 1 : 0, 5);
      }
    }
  });
});

describe('rotateBlocks', () => {
  it.each(SIZES)('multiplies each block of %i values by the matrix', (size) => {
    const matrix = hadamard(size);
    const values = Float32Array.from({ length: 3 * size }, (_, index) => Math.sin(index));
    const expected = values.map((_, index) => {
      const [block, column] = [index - (index % size), index % size];
      return values.subarray(block, block + size).reduce((sum, value, row) => sum + value * (matrix[row * size + column] ?? NaN), 0);
    });
    rotateBlocks(values, size).forEach((value, index) => expect(value).toBeCloseTo(expected[index] ?? NaN, 5));
  });

  it('leaves its input as it was', () => {
    const values = Float32Array.of(1, 2);
    rotateBlocks(values, 2);
    expect(values).toEqual(Float32Array.of(1, 2));
  });
});
