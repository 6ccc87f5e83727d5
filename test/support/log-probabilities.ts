// Lines of logits as distributions.

/** Of a line of logits. */
export function logProbabilities(logits: Float32Array): Float64Array {
  const largest = logits.reduce((one, other) => Math.max(one, other), -Infinity);
  const sum = logits.reduce((total, value) => total + Math.exp(value - largest), 0);
  return Float64Array.from(logits, (value) => value - largest - Math.log(sum));
}

/** The largest difference between the log probabilities of two lines. */
export function distance(one: Float32Array, other: Float32Array): number {
  const [left, right] = [logProbabilities(one), logProbabilities(other)];
  return left.reduce((largest, value, index) => Math.max(largest, Math.abs(value - (right[index] ?? Infinity))), 0);
}
