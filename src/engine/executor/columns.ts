// Copies columns between row-major matrices of different widths: adapters are packed at their own ranks and lie in lanes at padded ones.

type CopiedValues = Float64Array | Float32Array | Int32Array | Int8Array;

/** `first` and those to its right, in a matrix whose rows are `width` long. */
export interface Columns<Values extends CopiedValues> {
  readonly values: Values;
  readonly width: number;
  readonly first: number;
}

/** Copies `count` columns of all rows of `source`. */
export function copyColumns<Values extends CopiedValues>(source: Columns<Values>, target: Columns<Values>, count: number): void {
  if (source.width === count && target.width === count) {
    target.values.set(source.values);
    return;
  }
  for (let from = source.first, to = target.first; from < source.values.length; from += source.width, to += target.width)
    for (let index = 0; index < count; index++) target.values[to + index] = source.values[from + index] ?? 0;
}

/** `copyColumns` of finite float32 values, two at a time where widths and places are even. A pair of finite ones is no NaN, so it keeps its bits. */
export function copyFloatColumns(source: Columns<Float32Array>, target: Columns<Float32Array>, count: number): void {
  const sizes = [count, ...[source, target].flatMap(({ values, width, first }) => [width, first, values.length, values.byteOffset / 4])];
  if (sizes.every((size) => size % 2 === 0)) copyColumns(inPairs(source), inPairs(target), count / 2);
  else copyColumns(source, target, count);
}

function inPairs({ values: { buffer, byteOffset, length }, width, first }: Columns<Float32Array>): Columns<Float64Array> {
  return { values: new Float64Array(buffer, byteOffset, length / 2), width: width / 2, first: first / 2 };
}
