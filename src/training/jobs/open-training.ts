// Training on one storage: puts files, service, runner and publisher together, and goes on where the process before left off.
import type { AdapterRegistry } from '../../adapters/index.ts';
import { describeError, type Clock, type Digest, type Logger, type Random } from '../../core/index.ts';
import type { JobRow, Storage } from '../../storage/index.ts';
import type { FineTuningJobs, TrainingFiles } from '../port.ts';
import type { ChoiceLimits } from './check-choices.ts';
import type { RowChecker, RowLimits } from './check-rows.ts';
import { JobSignals } from './events.ts';
import { createTrainingFiles } from './files.ts';
import { JobFolders } from './job-folders.ts';
import { createJobPublisher } from './publisher.ts';
import type { TrainerProcess } from './job-order.ts';
import { JobRunner, type JobRunnerParts } from './runner.ts';
import { JobService } from './service.ts';
import { attemptLost } from './transitions.ts';

export interface TrainingLimits extends ChoiceLimits, Omit<RowLimits, 'maxSeqLength'> {
  readonly maxOpenJobs: number;
}

export interface TrainingParts extends Pick<JobRunnerParts, 'order' | 'leaseMs' | 'maxDeaths'> {
  readonly storage: Storage;
  readonly adapters: AdapterRegistry;
  readonly base: { readonly id: string; readonly digest: Digest };
  readonly limits: TrainingLimits;
  readonly checker: RowChecker;
  readonly trainer: TrainerProcess;
  /** Folder of the jobs' folders. */
  readonly jobsFolder: string;
  /** A check of rows that takes longer goes on behind the answer. */
  readonly answerWithinMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

export interface Training {
  readonly files: TrainingFiles;
  readonly jobs: FineTuningJobs;
  /** Ends watchers, the running attempt (with a checkpoint, if that takes no longer than `graceMs`) and the trainer. */
  close(graceMs: number): Promise<void>;
}

export async function openTraining(parts: TrainingParts): Promise<Training> {
  const { storage, adapters, clock, random, logger, base } = parts;
  const { keeper } = adapters;
  const { jobs } = storage;
  const folders = new JobFolders(parts.jobsFolder, keeper);
  const signals = new JobSignals();
  const closing = new AbortController();
  let removed: Promise<unknown> = Promise.resolve();
  const onEnded = (row: JobRow): void => {
    keeper.suspect(inputsOf(row));
    const removing = folders.remove(row.id).catch((error: unknown) => {
      logger.warn({ job: row.id, error: describeError(error) }, 'the folder of a job stays until the next start');
    });
    removed = Promise.all([removed, removing]);
  };
  const runner = new JobRunner({
    ...parts,
    jobs,
    folders,
    publisher: createJobPublisher({ jobs, folders, adapters, clock }),
    signals,
    baseDigest: base.digest,
    blobPath: (digest) => keeper.path(digest),
    onEnded,
  });
  const check = { files: storage.files, adapters, baseId: base.id, limits: parts.limits };
  const service = new JobService({
    ...parts,
    jobs,
    check,
    rowLimits: parts.limits,
    maxOpenJobs: parts.limits.maxOpenJobs,
    baseDigest: base.digest,
    runner,
    signals,
    onEnded,
    closing: closing.signal,
  });
  for (const row of jobs.withStatus(['running'])) {
    const { from, changes, events } = attemptLost(row, 'the server was restarted', clock.now(), null);
    jobs.change(row.id, from, changes, { events });
  }
  await folders.removeAllBut(new Set(jobs.withStatus(['validating_files', 'queued', 'paused']).map(({ id }) => id)));
  service.resumeChecks();
  runner.wake();
  return {
    files: createTrainingFiles({ files: storage.files, keeper, clock, random }),
    jobs: service,
    close: async (graceMs) => {
      closing.abort();
      await runner.close(graceMs);
      await removed;
    },
  };
}

function inputsOf({ trainingDigest, validationDigest, initial }: JobRow): readonly Digest[] {
  return [trainingDigest, validationDigest, initial?.config, initial?.tensors].filter((digest) => digest !== null && digest !== undefined);
}
