// DoRA's magnitude as training begins: the norms of the base's weight, since no init changes the weight yet (PEFT 0.21, tuners/lora/dora.py).

/** Norms of the rows of a linear's weight [out, in]. */
export function rowNorms(weight: Float32Array, rowCount: number): Float32Array {
  const columnCount = weight.length / rowCount;
  return Float32Array.from({ length: rowCount }, (_, row) => {
    let squares = 0;
    for (let column = 0; column < columnCount; column += 1) squares += (weight[row * columnCount + column] ?? 0) ** 2;
    return Math.sqrt(squares);
  });
}

/** Norms of the columns of an embedding's weight [vocabulary, hidden]. */
export function columnNorms(weight: Float32Array, columnCount: number): Float32Array {
  const squares = new Float64Array(columnCount);
  for (const [index, value] of weight.entries()) squares[index % columnCount] = (squares[index % columnCount] ?? 0) + value * value;
  return Float32Array.from(squares, Math.sqrt);
}
