// Orthonormal columns with the same span: Cholesky QR, done twice (Yamamoto and others, "Roundoff error analysis of the CholeskyQR2
// algorithm", ETNA 44, 2015). The big products are one Gemm each, which Householder reflections are not.
import type { RandomStream } from '../random.ts';
import { type Dense, dense } from './dense.ts';
import type { Products } from './products.ts';

/** Share of a column's square that must be left once its predecessors are taken out; below it the rest is rounding. */
const DEPENDENT = 1e-13;
const PASSES = 2;
const MAX_ATTEMPTS = 4;

/**
 * Q [m, q] of Y = QR, R upper triangular with a positive diagonal: column j spans with its predecessors what those of Y do. Columns that depend on
 * their predecessors are replaced by random ones, so that Q is orthonormal whatever the rank of Y.
 * @throws Error for more columns than rows.
 */
export function orthonormalise(products: Products, tall: Dense, stream: RandomStream): Dense {
  if (tall.columns > tall.rows) throw new Error(`no ${tall.columns} orthonormal columns of ${tall.rows} values`);
  let current = tall;
  for (let pass = 0; pass < PASSES; pass += 1) {
    for (let attempt = 0; ; attempt += 1) {
      const { inverse, dependent } = invertedTriangle(products.multiply(current, current, 'left'));
      if (dependent.length === 0 || attempt === MAX_ATTEMPTS) {
        current = products.multiply(current, inverse);
        break;
      }
      current = withRandomColumns(current, dependent, stream);
    }
  }
  return current;
}

interface InvertedTriangle {
  /** R⁻¹ [q, q], upper triangular, of the Gram matrix RᵀR. */
  readonly inverse: Dense;
  /** Columns that their predecessors span; they are left as they are. */
  readonly dependent: readonly number[];
}

function invertedTriangle({ rows: size, values: gram }: Dense): InvertedTriangle {
  const triangle = new Float64Array(size * size);
  const dependent: number[] = [];
  for (let column = 0; column < size; column += 1) {
    for (let row = 0; row < column; row += 1) {
      let sum = gram[row * size + column] ?? 0;
      for (let k = 0; k < row; k += 1) sum -= (triangle[k * size + row] ?? 0) * (triangle[k * size + column] ?? 0);
      triangle[row * size + column] = sum / (triangle[row * size + row] ?? 1);
    }
    const square = gram[column * size + column] ?? 0;
    let rest = square;
    for (let k = 0; k < column; k += 1) rest -= (triangle[k * size + column] ?? 0) ** 2;
    const isDependent = !(rest > DEPENDENT * square);
    if (isDependent) dependent.push(column);
    triangle[column * size + column] = isDependent ? 1 : Math.sqrt(rest);
  }
  return { inverse: invertUpper(triangle, size), dependent };
}

function invertUpper(triangle: Float64Array, size: number): Dense {
  const inverse = new Float64Array(size * size);
  for (let column = 0; column < size; column += 1) {
    inverse[column * size + column] = 1 / (triangle[column * size + column] ?? 1);
    for (let row = column - 1; row >= 0; row -= 1) {
      let sum = 0;
      for (let k = row + 1; k <= column; k += 1) sum += (triangle[row * size + k] ?? 0) * (inverse[k * size + column] ?? 0);
      inverse[row * size + column] = -sum / (triangle[row * size + row] ?? 1);
    }
  }
  return dense(size, size, inverse);
}

function withRandomColumns({ rows, columns, values }: Dense, chosen: readonly number[], stream: RandomStream): Dense {
  const replaced = values.slice();
  const normal = new Float64Array(rows * chosen.length);
  stream.fillNormal(normal, 1);
  for (const [place, column] of chosen.entries()) {
    for (let row = 0; row < rows; row += 1) replaced[row * columns + column] = normal[row * chosen.length + place] ?? 0;
  }
  return { rows, columns, values: replaced };
}
