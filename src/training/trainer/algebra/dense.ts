// Dense float64 matrices, row-major, and the few operations on them that need no kernel.

export interface Dense {
  readonly rows: number;
  readonly columns: number;
  /** [rows, columns] */
  readonly values: Float64Array;
}

export function dense(rows: number, columns: number, values: ArrayLike<number> = new Float64Array(rows * columns)): Dense {
  if (values.length !== rows * columns) throw new Error(`a matrix of ${rows} × ${columns} got ${values.length} values`);
  return { rows, columns, values: values instanceof Float64Array ? values : Float64Array.from(values) };
}

export function transposed({ rows, columns, values }: Dense): Dense {
  const turned = new Float64Array(values.length);
  for (let row = 0; row < rows; row += 1)
    for (let column = 0; column < columns; column += 1) turned[column * rows + row] = values[row * columns + column] ?? 0;
  return { rows: columns, columns: rows, values: turned };
}

/** Columns `from` up to, not including, `to`. */
export function columnsOf({ rows, columns, values }: Dense, from: number, to: number): Dense {
  const part = new Float64Array(rows * (to - from));
  for (let row = 0; row < rows; row += 1) part.set(values.subarray(row * columns + from, row * columns + to), row * (to - from));
  return { rows, columns: to - from, values: part };
}

/** Every column times its own factor. */
export function scaleColumns({ rows, columns, values }: Dense, factors: ArrayLike<number>): Dense {
  return { rows, columns, values: values.map((value, index) => value * (factors[index % columns] ?? 0)) };
}

/** Side by side: [rows, left.columns + right.columns]. */
export function besides(left: Dense, right: Dense): Dense {
  const columns = left.columns + right.columns;
  const joined = new Float64Array(left.rows * columns);
  for (let row = 0; row < left.rows; row += 1) {
    joined.set(left.values.subarray(row * left.columns, (row + 1) * left.columns), row * columns);
    joined.set(right.values.subarray(row * right.columns, (row + 1) * right.columns), row * columns + left.columns);
  }
  return { rows: left.rows, columns, values: joined };
}
