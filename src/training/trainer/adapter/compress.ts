// The best factors of a lower rank for s·BA: a truncated singular value decomposition through QR of both factors, never forming the product.
import { columnsOf, dense, scaleColumns, transposed, type Dense } from '../algebra/dense.ts';
import { orthonormalise } from '../algebra/orthonormalise.ts';
import type { Products } from '../algebra/products.ts';
import { symmetricEigen } from '../algebra/randomised-svd.ts';
import { randomStream } from '../random.ts';
import type { Factors, SiteValues } from './trained-site.ts';

export interface Compressed {
  /** Of scale 1: BA is the best approximation of s·B'A' of this rank (Eckart and Young). Zeros fill a rank above that of the product. */
  readonly factors: Factors;
  /** Squared Frobenius norms: of what was cut off, and of the whole. */
  readonly errorSquares: number;
  readonly squares: number;
}

export function compressed(products: Products, { a, b, target }: SiteValues, rank: number): Compressed {
  const { site, scale } = target;
  const input = basis(products, transposed(dense(target.rank, site.inFeatures, a)));
  const output = basis(products, dense(site.outFeatures, target.rank, b));
  // s·BA = output.basis · core · input.basisᵀ
  const core = products.multiply(output.coordinates, input.coordinates, 'right');
  const scaled = dense(
    core.rows,
    core.columns,
    core.values.map((value) => scale * value),
  );
  const { values, vectors } = symmetricEigen(products.multiply(scaled, scaled, 'right'));
  const singular = values.map((value) => Math.sqrt(Math.max(0, value)));
  const kept = Math.min(rank, singular.length);
  const left = columnsOf(vectors, 0, kept);
  const right = products.multiply(scaled, left, 'left'); // [.., kept], each of length sigma
  const roots = singular.slice(0, kept).map(Math.sqrt);
  const inverseRoots = roots.map((root) => (root === 0 ? 0 : 1 / root));
  const bKept = products.multiply(output.basis, scaleColumns(left, roots));
  const aKept = products.multiply(input.basis, scaleColumns(right, inverseRoots));
  return {
    factors: { a: padded(transposed(aKept), rank, site.inFeatures), b: padded(bKept, site.outFeatures, rank) },
    errorSquares: singular.slice(kept).reduce((sum, value) => sum + value * value, 0),
    squares: singular.reduce((sum, value) => sum + value * value, 0),
  };
}

/** Columns of `tall` in an orthonormal basis of at most as many directions as it has rows. */
function basis(products: Products, tall: Dense): { readonly basis: Dense; readonly coordinates: Dense } {
  const stream = randomStream(0, 'basis');
  if (tall.columns >= tall.rows) {
    const whole = dense(tall.rows, tall.rows);
    for (let index = 0; index < tall.rows; index += 1) whole.values[index * (tall.rows + 1)] = 1;
    return { basis: whole, coordinates: tall };
  }
  const orthonormal = orthonormalise(products, tall, stream);
  return { basis: orthonormal, coordinates: products.multiply(orthonormal, tall, 'left') };
}

/** The matrix in the corner of zeros. */
function padded({ rows, columns, values }: Dense, toRows: number, toColumns: number): Float32Array {
  const wide = new Float32Array(toRows * toColumns);
  for (let row = 0; row < rows; row += 1)
    for (let column = 0; column < columns; column += 1) wide[row * toColumns + column] = values[row * columns + column] ?? 0;
  return wide;
}
