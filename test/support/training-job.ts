// Runs jobs of the trainer inside a test, with the real computation: orders, and what an attempt said.
import { join } from 'node:path';
import { type HyperparameterChoices, resolveHyperparameters } from '../../src/training/defaults.ts';
import type { JobOrder, JobResult, StepMetrics } from '../../src/training/messages.ts';
import { runJob } from '../../src/training/trainer/job.ts';
import { machine } from '../../src/training/trainer/machine.ts';

export interface JobPlace {
  readonly modelFolder: string;
  readonly trainingFile: string;
  readonly jobFolder: string;
  readonly validationFile?: string;
  readonly initialAdapter?: string;
}

export function jobOrder(place: JobPlace, choices: HyperparameterChoices, seed = 1): JobOrder {
  return {
    jobId: 'job',
    fence: 1,
    validationFile: null,
    initialAdapter: null,
    ...place,
    hyperparameters: resolveHyperparameters(choices, seed, 256),
    threadCount: 2,
    memoryBudgetBytes: 2 * 1024 ** 3,
    checkpointSteps: 5,
  };
}

export interface FinishedJob {
  readonly result: JobResult;
  readonly steps: readonly StepMetrics[];
  /** Folder with PEFT's two files. */
  readonly adapter: string;
}

export async function trainedJob(order: JobOrder): Promise<FinishedJob> {
  const steps: StepMetrics[] = [];
  const result = await runJob(order, machine, {
    turn: async () => undefined,
    started: () => undefined,
    step: (metrics) => steps.push(metrics),
    checkpoint: () => undefined,
    durable: () => undefined,
  });
  return { result, steps, adapter: join(order.jobFolder, 'result') };
}
