// The queue of jobs over storage, registry and a simulated trainer, in one process, with a clock that the test moves.
import { join } from 'node:path';
import { vi } from 'vitest';
import type { AdapterRegistry } from '../../src/adapters/index.ts';
import { silentLogger, type Clock, type TenantId } from '../../src/core/index.ts';
import type { Storage } from '../../src/storage/index.ts';
import type { JobRequest, TrainingJob } from '../../src/training/index.ts';
import { openTraining, type RowChecker, type RowReport, type Training } from '../../src/training/jobs/index.ts';
import { openTinyRegistry, tinyAdapter } from '../support/registry-harness.ts';
import { SimulatedTrainer } from '../support/simulated-trainer.ts';
import { TINY_BASE } from '../support/tiny-base.ts';

export const GOOD_ROWS: RowReport = { kind: 'good', totals: { rows: 8, tokens: 80, supervisedTokens: 40, cutRows: 0 } };

/** Stands still until the test moves it. */
export class ManualClock implements Clock {
  timeMs = 1_000_000;

  now(): number {
    return this.timeMs;
  }

  monotonic(): number {
    return this.timeMs;
  }
}

export interface QueueOptions {
  readonly storage: Storage;
  readonly folder: string;
  readonly trainer?: SimulatedTrainer;
  readonly checker?: RowChecker;
  readonly answerWithinMs?: number;
  readonly clock?: Clock;
  readonly leaseMs?: number;
  readonly maxDeaths?: number;
}

export interface Queue {
  readonly training: Training;
  readonly trainer: SimulatedTrainer;
  readonly registry: AdapterRegistry;
}

/** Opens as a server does at its start; another over the same storage is the server after that. */
export async function openQueue(options: QueueOptions): Promise<Queue> {
  const registry = await openTinyRegistry(options.storage);
  const trainer = options.trainer ?? new SimulatedTrainer({ adapter: tinyAdapter, runs: false });
  let idCount =
    options.storage.jobs.withStatus(['validating_files', 'queued', 'running', 'paused', 'succeeded', 'failed', 'cancelled']).length * 4;
  const training = await openTraining({
    storage: options.storage,
    adapters: registry,
    base: TINY_BASE,
    limits: { sites: TINY_BASE.sites, maxContext: 64, maxRank: 64, maxSteps: 100, maxRows: 100, maxTokens: 1000, maxOpenJobs: 100 },
    checker: options.checker ?? { check: () => Promise.resolve(GOOD_ROWS) },
    trainer,
    jobsFolder: join(options.folder, 'jobs'),
    order: { modelFolder: 'none', threadCount: 1, memoryBudgetBytes: 1, checkpointSteps: 2 },
    answerWithinMs: options.answerWithinMs ?? 60_000,
    leaseMs: options.leaseMs ?? 3_600_000,
    maxDeaths: options.maxDeaths ?? 3,
    clock: options.clock ?? new ManualClock(),
    // Ids that a failed run can be read by.
    random: {
      bytes: (count) => {
        idCount += 1;
        const bytes = Buffer.alloc(count);
        bytes.writeUInt32BE(idCount);
        return bytes;
      },
    },
    logger: silentLogger,
  });
  return { training, trainer, registry };
}

let fileCount = 0;

export async function addRows({ training }: Pick<Queue, 'training'>, tenant: TenantId, write: (path: string) => void): Promise<string> {
  fileCount += 1;
  const path = join(training.files.uploadFolder, `rows-${fileCount}`);
  write(path);
  return (await training.files.add(tenant, { path, fileName: 'rows.jsonl' })).id;
}

export function jobRequest(trainingFile: string, fields: Partial<JobRequest> = {}): JobRequest {
  const rest = { validationFile: null, suffix: null, seed: 1, metadata: null, choices: { maxSteps: 5 } };
  return { model: TINY_BASE.id, trainingFile, ...rest, choicesPath: 'method.supervised.hyperparameters', ...fields };
}

/** Waits for what follows from the disk and the next turns of the event loop. */
export async function quiet(isQuiet: () => boolean): Promise<void> {
  await vi.waitUntil(isQuiet, { timeout: 20_000, interval: 1 });
}

export function metricsOfJob(storage: Storage, job: Pick<TrainingJob, 'id'>): readonly (number | null)[] {
  return storage.jobs.metrics(job.id).map(({ step }) => step);
}
