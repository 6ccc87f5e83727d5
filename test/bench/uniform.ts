// Seeded random numbers: the same on every machine and every run.

/** Values in [-scale, scale) from a linear congruential generator (Numerical Recipes' constants). */
export function uniform(seed: number): (count: number, scale: number) => Float32Array {
  let state = (seed + 1) * 2_654_435_761;
  return (count, scale) => {
    // A loop: adapters are millions of values, and Float32Array.from is ten times slower.
    const values = new Float32Array(count);
    for (let index = 0; index < count; index += 1) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      values[index] = (state / 2 ** 31 - 1) * scale;
    }
    return values;
  };
}
