// Hadamard matrices: orthogonal, all entries of one size. They spread what few channels carry over all of a block.

/**
 * [size, size] in Sylvester's order, divided by the root of `size`: symmetric and its own inverse. `size` is a power of two.
 */
export function hadamard(size: number): Float32Array {
  const entry = 1 / Math.sqrt(size);
  return Float32Array.from({ length: size * size }, (_, index) => (isOdd(Math.floor(index / size) & (index % size)) ? -entry : entry));
}

/** `values` with each block of `size` values multiplied by `hadamard(size)`. */
export function rotateBlocks(values: Float32Array, size: number): Float32Array {
  const result = values.slice();
  for (let half = 1; half < size; half *= 2) {
    for (let start = 0; start < result.length; start += 2 * half) {
      for (let index = start; index < start + half; index++) {
        const [one, other] = [result[index] ?? 0, result[index + half] ?? 0];
        result[index] = one + other;
        result[index + half] = one - other;
      }
    }
  }
  const entry = 1 / Math.sqrt(size);
  return result.map((value) => value * entry);
}

function isOdd(bits: number): boolean {
  let odd = false;
  for (let rest = bits; rest > 0; rest &= rest - 1) odd = !odd;
  return odd;
}
