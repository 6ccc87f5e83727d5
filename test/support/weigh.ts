/** What an executor's `weigh` gives, in JavaScript. */
export function weigh(logits: Float32Array, largest: number, scale: number): Float32Array {
  return logits.map((logit) => Math.exp((logit - largest) * scale));
}
