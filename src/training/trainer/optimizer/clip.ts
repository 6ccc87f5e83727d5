// The norm of all gradients together, and what clipping to it multiplies them by (torch.nn.utils.clip_grad_norm_).

/** Euclidean norm over all arrays as one vector, summed in float64. */
export function globalNorm(gradients: Iterable<Float32Array>): number {
  let squares = 0;
  for (const gradient of gradients) squares += sumOfSquares(gradient);
  return Math.sqrt(squares);
}

/** min(1, maxNorm / (norm + 1e-6)); 1 when `maxNorm` is 0. */
export function clipFactor(norm: number, maxNorm: number): number {
  return maxNorm === 0 ? 1 : Math.min(1, maxNorm / (norm + 1e-6));
}

function sumOfSquares(values: Float32Array): number {
  // Four sums, so that an addition does not wait for the one before it.
  let [a, b, c, d] = [0, 0, 0, 0];
  const whole = values.length - (values.length % 4);
  for (let index = 0; index < whole; index += 4) {
    a += (values[index] ?? 0) ** 2;
    b += (values[index + 1] ?? 0) ** 2;
    c += (values[index + 2] ?? 0) ** 2;
    d += (values[index + 3] ?? 0) ** 2;
  }
  for (let index = whole; index < values.length; index += 1) a += (values[index] ?? 0) ** 2;
  return a + b + c + d;
}
