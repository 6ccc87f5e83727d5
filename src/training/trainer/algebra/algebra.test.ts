import { Matrix, SingularValueDecomposition } from 'ml-matrix';
import { afterAll, describe, expect, it } from 'vitest';
import { createEnvironment, liveHandleCount } from '../../../runtime/index.ts';
import { randomStream } from '../random.ts';
import { besides, columnsOf, type Dense, dense, transposed } from './dense.ts';
import { orthonormalise } from './orthonormalise.ts';
import { Products } from './products.ts';
import { randomisedSvd } from './randomised-svd.ts';

const environment = createEnvironment({ threadCount: 1, allowSpinning: false });
const products = new Products(environment);
afterAll(() => {
  products[Symbol.dispose]();
  environment.dispose();
});

function random(rows: number, columns: number, purpose = 'test'): Dense {
  const matrix = dense(rows, columns);
  randomStream(1, purpose).fillNormal(matrix.values, 1);
  return matrix;
}

function reference({ rows, columns, values }: Dense): Matrix {
  return new Matrix(Array.from({ length: rows }, (_, row) => [...values.subarray(row * columns, (row + 1) * columns)]));
}

function largestDifference(left: Dense, right: Dense): number {
  expect([left.rows, left.columns]).toEqual([right.rows, right.columns]);
  return left.values.reduce((largest, value, index) => Math.max(largest, Math.abs(value - (right.values[index] ?? Number.NaN))), 0);
}

function identity(size: number): Dense {
  return dense(
    size,
    size,
    Float64Array.from({ length: size * size }, (_, index) => (index % (size + 1) === 0 ? 1 : 0)),
  );
}

describe('products', () => {
  it('equal sums over the inner axis, however the factors lie', () => {
    const [left, right] = [random(7, 5), random(5, 3, 'right')];
    const wanted = reference(left).mmul(reference(right));
    const expected = dense(7, 3, wanted.to1DArray());
    expect(largestDifference(products.multiply(left, right), expected)).toBeLessThan(1e-13);
    expect(largestDifference(products.multiply(transposed(left), right, 'left'), expected)).toBeLessThan(1e-13);
    expect(largestDifference(products.multiply(left, transposed(right), 'right'), expected)).toBeLessThan(1e-13);
    expect(() => products.multiply(left, left)).toThrow('product of 7 × 5 and 7 × 5');
  });

  it('leave no native object behind', () => {
    const before = liveHandleCount();
    {
      using other = new Products(environment);
      other.multiply(random(2, 2), random(2, 2));
      expect(liveHandleCount()).toBe(before + 1);
    }
    expect(liveHandleCount()).toBe(before);
  });
});

describe('orthonormal columns', () => {
  const stream = randomStream(2, 'columns');

  it.each<[string, Dense]>([
    ['random', random(60, 12)],
    ['square', random(20, 20)],
    [
      'of very different lengths',
      dense(
        40,
        5,
        random(40, 5).values.map((value, index) => value * 10 ** (3 * (index % 5) - 6)),
      ),
    ],
    [
      'almost dependent',
      besides(
        random(50, 4),
        dense(
          50,
          4,
          random(50, 4).values.map((value, index) => value + 1e-5 * Math.sin(index * index)),
        ),
      ),
    ],
    ['dependent', besides(random(50, 4), random(50, 4))],
    ['zero', dense(30, 6)],
  ])('come from %s columns', (_, tall) => {
    const basis = orthonormalise(products, tall, stream);
    expect(largestDifference(products.multiply(basis, basis, 'left'), identity(tall.columns))).toBeLessThan(1e-12);
  });

  it('span what the columns before them did', () => {
    const tall = random(40, 6);
    const basis = orthonormalise(products, tall, stream);
    for (const count of [1, 3, 6]) {
      const [part, head] = [columnsOf(basis, 0, count), columnsOf(tall, 0, count)];
      const projected = products.multiply(part, products.multiply(part, head, 'left'));
      expect(largestDifference(projected, head)).toBeLessThan(1e-12);
    }
  });
});

describe('the randomised decomposition', () => {
  /** Singular values that fall like those of gradients: by powers. */
  function falling(rows: number, columns: number, rank: number): Dense {
    const sides = [rows, columns].map((size) => orthonormalise(products, random(size, rank, `side ${size}`), randomStream(3, 'side')));
    const [left = dense(0, 0), right = dense(0, 0)] = sides;
    const scaled = dense(
      rows,
      rank,
      left.values.map((value, index) => value / (1 + (index % rank)) ** 1.5),
    );
    return products.multiply(scaled, right, 'right');
  }

  it.each([
    [90, 40],
    [40, 90],
  ])('finds the strongest directions of a %i × %i matrix', (rows, columns) => {
    const matrix = falling(rows, columns, 40);
    const found = randomisedSvd(products, matrix, { count: 8, subspace: 16, iterations: 6, stream: randomStream(4, 'svd') });
    const svd = new SingularValueDecomposition(reference(matrix), { autoTranspose: true });
    for (const [index, value] of found.singularValues.entries()) expect(value).toBeCloseTo(svd.diagonal[index] ?? -1, 9);
    for (const [mine, theirs] of [
      [found.left, svd.leftSingularVectors],
      [found.right, svd.rightSingularVectors],
    ] as const) {
      const overlap = products.multiply(mine, dense(mine.rows, 8, theirs.subMatrix(0, mine.rows - 1, 0, 7).to1DArray()), 'left');
      expect(largestDifference(dense(8, 8, overlap.values.map(Math.abs)), identity(8))).toBeLessThan(1e-5);
    }
  });

  it('gives orthonormal directions of a matrix with too few of its own', () => {
    const { left, right, singularValues } = randomisedSvd(products, falling(30, 20, 3), {
      count: 8,
      subspace: 16,
      iterations: 4,
      stream: randomStream(4, 'svd'),
    });
    expect([...singularValues].map((value) => value > 1e-7)).toEqual([true, true, true, false, false, false, false, false]);
    for (const side of [left, right]) expect(largestDifference(products.multiply(side, side, 'left'), identity(8))).toBeLessThan(1e-10);
  });

  it('does not depend on what ran before', () => {
    const options = { count: 2, subspace: 4, iterations: 2 };
    const matrix = falling(12, 9, 9);
    const first = randomisedSvd(products, matrix, { ...options, stream: randomStream(9, 'same') });
    expect(randomisedSvd(products, matrix, { ...options, stream: randomStream(9, 'same') })).toEqual(first);
  });
});
