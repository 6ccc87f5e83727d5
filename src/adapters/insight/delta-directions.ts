// Singular directions of an adapter's change dW = s B A at one site, without ever forming dW. Pure; knows no files.
import { Matrix, QrDecomposition, SingularValueDecomposition } from 'ml-matrix';
import { packedArray, type PackedAdapter, type PackedSite } from '../packed.ts';

/** dW = output · diag(singularValues) · input^T, with k = min(rank, in, out) directions, the strongest first. */
export interface DeltaDirections {
  readonly singularValues: readonly number[];
  /** [in, k], orthonormal columns. */
  readonly input: Matrix;
  /** [out, k], orthonormal columns. */
  readonly output: Matrix;
}

/**
 * With the packed A [in, r] = Qa Ra and B^T [out, r] = Qb Rb, dW^T = A B = Qa (Ra Rb^T) Qb^T, so only the r × r core needs an SVD.
 * The scale is folded into B already. DoRA's gain is no part of dW here: it has no low rank.
 */
export function deltaDirections(adapter: PackedAdapter, { rank, a, b }: PackedSite): DeltaDirections {
  const inputBasis = orthonormalBasis(matrixOf(packedArray(adapter, a), rank));
  const outputBasis = orthonormalBasis(transposedMatrixOf(packedArray(adapter, b), rank));
  const core = inputBasis.triangle.mmul(outputBasis.triangle.transpose());
  const svd = new SingularValueDecomposition(core, { autoTranspose: true });
  return {
    singularValues: svd.diagonal,
    input: inputBasis.basis.mmul(svd.leftSingularVectors),
    output: outputBasis.basis.mmul(svd.rightSingularVectors),
  };
}

interface Basis {
  /** [n, k], orthonormal columns. */
  readonly basis: Matrix;
  /** [k, r] */
  readonly triangle: Matrix;
}

function orthonormalBasis(tall: Matrix): Basis {
  // Householder QR needs at least as many rows as columns; a shorter matrix is its own triangle over the whole space.
  if (tall.rows < tall.columns) return { basis: Matrix.eye(tall.rows), triangle: tall };
  const qr = new QrDecomposition(tall);
  return { basis: qr.orthogonalMatrix, triangle: qr.upperTriangularMatrix };
}

/** Row-major values as [values.length / columns, columns]. */
function matrixOf(values: Float32Array, columns: number): Matrix {
  const matrix = Matrix.zeros(values.length / columns, columns);
  values.forEach((value, index) => matrix.set(Math.floor(index / columns), index % columns, value));
  return matrix;
}

/** Row-major [rows, n] as [n, rows]. */
function transposedMatrixOf(values: Float32Array, rows: number): Matrix {
  const length = values.length / rows;
  const matrix = Matrix.zeros(length, rows);
  values.forEach((value, index) => matrix.set(index % length, Math.floor(index / length), value));
  return matrix;
}
