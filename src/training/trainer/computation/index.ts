export { createTrainingComputation } from './training-computation.ts';
export { createWeightGradients, type WeightGradientOptions } from './weight-gradients.ts';
