// Temperature: logits to unnormalised probabilities.

/** weights[id] = exp((logit - largest) / temperature), so the largest is 1. Temperature above 0; `largest` finite. */
export function temperatureWeights(logits: Float32Array, largest: number, temperature: number, weights: Float64Array): void {
  const scale = 1 / Math.max(temperature, Number.EPSILON);
  for (let id = 0; id < logits.length; id += 1) {
    const weight = Math.exp(((logits[id] as number) - largest) * scale);
    weights[id] = Number.isNaN(weight) ? 0 : weight;
  }
}
