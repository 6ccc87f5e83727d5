import { describe, expect, it } from 'vitest';
import { copyFloatColumns } from './columns.ts';

const ROWS = 3;

function numbered(width: number): Float32Array {
  return Float32Array.from({ length: ROWS * width }, (_, index) => index + 1);
}

describe('columns of float32 values', () => {
  it.each([
    { own: 4, wide: 8, first: 2, case: 'even' },
    { own: 3, wide: 8, first: 2, case: 'an odd width' },
    { own: 4, wide: 8, first: 3, case: 'an odd place' },
    { own: 4, wide: 4, first: 0, case: 'whole rows' },
  ])('go between matrices of different widths: $case', ({ own, wide, first }) => {
    const target = new Float32Array(ROWS * wide);
    copyFloatColumns({ values: numbered(own), width: own, first: 0 }, { values: target, width: wide, first }, own);
    const expected = Array.from({ length: ROWS * wide }, (_, index) => {
      const column = (index % wide) - first;
      return column >= 0 && column < own ? Math.floor(index / wide) * own + column + 1 : 0;
    });
    expect([...target]).toEqual(expected);
  });

  it('keep their bits where pairs lie across the boundary of eight bytes', () => {
    const values = new Float32Array(new ArrayBuffer(4 * 9), 4, 8).fill(-3.4e38);
    const target = new Float32Array(16);
    copyFloatColumns({ values, width: 4, first: 0 }, { values: target, width: 8, first: 4 }, 4);
    expect([...target.subarray(4, 8), ...target.subarray(12)]).toEqual([...values]);
  });
});
