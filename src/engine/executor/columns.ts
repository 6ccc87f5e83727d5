// Copies columns between row-major matrices of different widths: adapters are packed at their own ranks and lie in lanes at padded ones.

/** `first` and those to its right, in a matrix whose rows are `width` long. */
export interface Columns<Values extends Float32Array | Int32Array> {
  readonly values: Values;
  readonly width: number;
  readonly first: number;
}

/** Copies `count` columns of all rows of `source`. */
export function copyColumns<Values extends Float32Array | Int32Array>(
  source: Columns<Values>,
  target: Columns<Values>,
  count: number,
): void {
  if (source.width === count && target.width === count) {
    target.values.set(source.values);
    return;
  }
  for (let from = source.first, to = target.first; from < source.values.length; from += source.width, to += target.width)
    for (let index = 0; index < count; index++) target.values[to + index] = source.values[from + index] ?? 0;
}
