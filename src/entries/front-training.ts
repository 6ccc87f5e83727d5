// Training as the front runs it: files, jobs and queue over its storage, and a trainer process that a supervisor starts when a job is due.
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { AdapterRegistry } from '../adapters/index.ts';
import type { Settings } from '../config/index.ts';
import { systemClock, systemRandom, type Logger } from '../core/index.ts';
import { Supervisor } from '../processes/index.ts';
import type { Storage } from '../storage/index.ts';
import type { FromTrainer, ToTrainer } from '../training/index.ts';
import { openTraining, type Training } from '../training/jobs/index.ts';
import type { FrontBase } from './front-base.ts';
import { childRowChecker } from './row-checker.ts';

/** A check of rows that takes longer goes on behind a job in validating_files: well below what clients wait for an answer. */
const ANSWER_WITHIN_MS = 30_000;
/** For reading the rows and computing initial values, in which the trainer may not look up. */
const STARTUP_MS = 600_000;

export async function openFrontTraining(
  settings: Settings,
  base: FrontBase,
  { storage, adapters, logger }: { readonly storage: Storage; readonly adapters: AdapterRegistry; readonly logger: Logger },
): Promise<Training> {
  const silenceMs = settings.trainerSilenceSeconds * 1000;
  const { description, folder } = base.model;
  return await openTraining({
    storage,
    adapters,
    base: description,
    limits: {
      sites: description.sites,
      maxContext: base.maxContext,
      maxRank: settings.adapterMaxRank,
      maxSteps: settings.trainingMaxSteps,
      maxRows: settings.trainingMaxRows,
      maxTokens: settings.trainingMaxTokens,
      maxOpenJobs: settings.trainingMaxJobs,
    },
    checker: childRowChecker(folder),
    trainer: supervisedTrainer(settings, silenceMs, logger),
    jobsFolder: join(settings.dataDir, 'jobs'),
    order: {
      modelFolder: folder,
      threadCount: settings.trainerThreads ?? availableParallelism(),
      memoryBudgetBytes: settings.trainerMemoryBytes,
      checkpointSteps: settings.trainerCheckpointSteps,
    },
    answerWithinMs: ANSWER_WITHIN_MS,
    leaseMs: silenceMs,
    maxDeaths: settings.trainerAttempts,
    clock: systemClock,
    random: systemRandom,
    logger,
  });
}

function supervisedTrainer(settings: Settings, silenceMs: number, logger: Logger): Supervisor<ToTrainer, FromTrainer> {
  const options = { logLevel: settings.logLevel, ...(settings.ortLibrary !== null && { ortLibrary: settings.ortLibrary }) };
  return new Supervisor<ToTrainer, FromTrainer>({
    name: 'trainer',
    command: { entry: entryPath(), args: [JSON.stringify(options)] },
    protocol: { ping: { kind: 'ping' }, shutdown: { kind: 'shutdown' }, isReady: (message) => message.kind === 'ready' },
    watchdog: { pingIntervalMs: 2000, silenceMs, startupMs: STARTUP_MS },
    clock: systemClock,
    logger,
  });
}

/** The trainer's entry beside this file: source under a loader, compiled otherwise. */
function entryPath(): string {
  return join(import.meta.dirname, import.meta.filename.endsWith('.ts') ? 'trainer.ts' : 'trainer.js');
}
