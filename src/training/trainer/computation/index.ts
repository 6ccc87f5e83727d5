export { createTrainingComputation } from './training-computation.ts';
