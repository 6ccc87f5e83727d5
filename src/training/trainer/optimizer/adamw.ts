// AdamW with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101), in the order of PyTorch's single-tensor implementation
// (torch/optim/adamw.py, _single_tensor_adam). Writes parameters and moments in place; knows no graph and no schedule.

export const ADAM_BETA1 = 0.9;
export const ADAM_BETA2 = 0.999;
export const ADAM_EPSILON = 1e-8;

export interface AdamParameter {
  readonly values: Float32Array;
  readonly gradient: Float32Array;
  /** First and second moment, zero before the first step; same length as the values. */
  readonly moment1: Float32Array;
  readonly moment2: Float32Array;
}

export interface AdamStep {
  /** From 1, for the corrections of the moments' bias. */
  readonly step: number;
  readonly learningRate: number;
  readonly weightDecay: number;
  /** Factor on every gradient: clipping. */
  readonly gradientScale: number;
}

export function adamwStep({ values, gradient, moment1, moment2 }: AdamParameter, options: AdamStep): void {
  const { step, learningRate, weightDecay, gradientScale } = options;
  const decay = 1 - learningRate * weightDecay;
  const stepSize = learningRate / (1 - ADAM_BETA1 ** step);
  const rootCorrection = 1 / Math.sqrt(1 - ADAM_BETA2 ** step);
  const [keep1, keep2] = [1 - ADAM_BETA1, 1 - ADAM_BETA2];
  const { length } = values;
  for (let index = 0; index < length; index += 1) {
    const slope = gradientScale * (gradient[index] ?? 0);
    const before = moment1[index] ?? 0;
    const mean = before + keep1 * (slope - before);
    const square = ADAM_BETA2 * (moment2[index] ?? 0) + keep2 * slope * slope;
    moment1[index] = mean;
    moment2[index] = square;
    values[index] = decay * (values[index] ?? 0) - (stepSize * mean) / (Math.sqrt(square) * rootCorrection + ADAM_EPSILON);
  }
}
