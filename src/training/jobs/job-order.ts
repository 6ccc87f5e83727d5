// What the trainer is told to do, and how the queue speaks to it.
import type { Digest } from '../../core/index.ts';
import type { JobRow } from '../../storage/index.ts';
import type { FromTrainer, JobOrder, ToTrainer } from '../messages.ts';
import { recordOf } from './job-record.ts';

/** The trainer process, as a supervisor runs it: started again with growing delays when it dies. */
export interface TrainerProcess {
  start(): void;
  stop(): Promise<void>;
  /** False when no process takes messages now. */
  send(message: ToTrainer): boolean;
  onMessage(listener: (message: FromTrainer) => void): void;
  onDown(listener: () => void): void;
}

/** What every order of a server says alike. */
export type CommonOrder = Pick<JobOrder, 'modelFolder' | 'threadCount' | 'memoryBudgetBytes' | 'checkpointSteps'>;

export interface OrderPlaces {
  readonly jobFolder: string;
  /** Folder with the adapter to continue from. */
  readonly initialAdapter: string | null;
  readonly blobPath: (digest: Digest) => string;
}

/** The order of the attempt that the row was claimed for. */
export function orderOf(row: JobRow, common: CommonOrder, { jobFolder, initialAdapter, blobPath }: OrderPlaces): JobOrder {
  return {
    ...common,
    jobId: row.id,
    fence: row.fence,
    trainingFile: blobPath(row.trainingDigest),
    validationFile: row.validationDigest === null ? null : blobPath(row.validationDigest),
    initialAdapter,
    jobFolder,
    hyperparameters: recordOf(row).hyperparameters,
  };
}
