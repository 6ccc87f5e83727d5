export { differentiate, type DifferentiateOptions } from './differentiate.ts';
export type { Inverse, Inverses } from './inverses.ts';
