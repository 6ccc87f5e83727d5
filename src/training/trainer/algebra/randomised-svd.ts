// The strongest singular directions of a big matrix, by subspace iteration from a random start (Halko, Martinsson, Tropp, arXiv 0909.4061,
// algorithms 4.4 and 5.1; torch.svd_lowrank). Only the small core is decomposed in JavaScript.
import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import type { RandomStream } from '../random.ts';
import { columnsOf, type Dense, dense } from './dense.ts';
import { orthonormalise } from './orthonormalise.ts';
import type { Products } from './products.ts';

export interface SingularDirections {
  /** [m, k], orthonormal columns, strongest first. */
  readonly left: Dense;
  /** [k], descending. */
  readonly singularValues: Float64Array;
  /** [n, k], orthonormal columns. */
  readonly right: Dense;
}

export interface RandomisedSvdOptions {
  /** Directions that are wanted, at most min(m, n). */
  readonly count: number;
  /** Directions that are iterated along, at least `count`; cut to min(m, n). */
  readonly subspace: number;
  readonly iterations: number;
  readonly stream: RandomStream;
}

/** @param matrix [m, n] */
export function randomisedSvd(products: Products, matrix: Dense, options: RandomisedSvdOptions): SingularDirections {
  const { count, iterations, stream } = options;
  const subspace = Math.min(options.subspace, matrix.rows, matrix.columns);
  if (count > subspace) throw new Error(`a matrix of ${matrix.rows} × ${matrix.columns} has no ${count} singular directions`);
  const start = new Float64Array(matrix.columns * subspace);
  stream.fillNormal(start, 1);
  let left = orthonormalise(products, products.multiply(matrix, dense(matrix.columns, subspace, start)), stream);
  for (let iteration = 0; iteration < iterations; iteration += 1) {
    const right = orthonormalise(products, products.multiply(matrix, left, 'left'), stream);
    left = orthonormalise(products, products.multiply(matrix, right), stream);
  }
  return decomposeCore(products, matrix, left, options);
}

/** matrix ≈ left · core, core [q, n]: the eigenvectors of core · coreᵀ turn `left` into singular directions. */
function decomposeCore(products: Products, matrix: Dense, left: Dense, { count, stream }: RandomisedSvdOptions): SingularDirections {
  const coreTurned = products.multiply(matrix, left, 'left');
  const { values, vectors } = symmetricEigen(products.multiply(coreTurned, coreTurned, 'left'));
  const chosen = columnsOf(vectors, 0, count);
  return {
    left: products.multiply(left, chosen),
    singularValues: values.slice(0, count).map((value) => Math.sqrt(Math.max(0, value))),
    right: orthonormalise(products, products.multiply(coreTurned, chosen), stream),
  };
}

/** Eigenvalues, largest first, and eigenvectors as columns. */
export function symmetricEigen(symmetric: Dense): { readonly values: Float64Array; readonly vectors: Dense } {
  const size = symmetric.rows;
  const rows = Array.from({ length: size }, (_, row) => symmetric.values.subarray(row * size, (row + 1) * size));
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(new Matrix(rows), { assumeSymmetric: true });
  const order = realEigenvalues.map((_, index) => index).toSorted((a, b) => (realEigenvalues[b] ?? 0) - (realEigenvalues[a] ?? 0));
  const vectors = dense(size, size);
  for (let row = 0; row < size; row += 1)
    for (const [place, from] of order.entries()) vectors.values[row * size + place] = eigenvectorMatrix.get(row, from);
  return { values: Float64Array.from(order, (from) => realEigenvalues[from] ?? 0), vectors };
}
