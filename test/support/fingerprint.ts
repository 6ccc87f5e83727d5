// A tensor in two numbers, as the Python fixtures write it: enough to notice any value that is wrong or misplaced.

/** Norm of a tensor and its product with sin(1), sin(2), …; see fixtures/tiny-adapters/make.py. */
export type Fingerprint = readonly [norm: number, product: number];

export function fingerprint(values: Float32Array): Fingerprint {
  let squares = 0;
  let product = 0;
  values.forEach((value, index) => {
    squares += value ** 2;
    product += value * Math.sin(index + 1);
  });
  return [Math.sqrt(squares), product];
}
