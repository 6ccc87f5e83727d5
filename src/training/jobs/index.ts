// The front's half of training: files, jobs and their queue.
export { checkRows, type RowChecker, type RowLimits, type RowReport } from './check-rows.ts';
export { openTraining, type Training, type TrainingLimits, type TrainingParts } from './open-training.ts';
export type { TrainerProcess } from './job-order.ts';
