export { differentiate, type Differentiated, type DifferentiateOptions } from './differentiate.ts';
export type { Inverse, Inverses } from './inverses.ts';
export { type KeptValue, keptValues, valueBytes } from './kept-values.ts';
export { recompute } from './recompute.ts';
export { scheduleBackward } from './schedule.ts';
