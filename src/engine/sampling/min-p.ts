// min-p (Nguyen et al. 2024): keeps tokens at least `minP` times as probable as the most probable one.

/** In place. The largest weight must be 1, as `Weigh` leaves it. */
export function keepMinP(weights: Float32Array, minP: number): void {
  for (let id = 0; id < weights.length; id += 1) {
    if ((weights[id] as number) < minP) weights[id] = 0;
  }
}
