// How logits become unnormalised probabilities: in one place, outside of JavaScript, which takes ten times as long.

/**
 * exp((logits - largest) * scale) of one line, so the largest weighs 1. What -Infinity weighs may come
 * as anything below 1e-37, and NaN as NaN: `settledTotal` makes them 0. The array is the caller's to change until the next call.
 */
export type Weigh = (logits: Float32Array, largest: number, scale: number) => Float32Array;
