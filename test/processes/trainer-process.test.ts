// The real trainer process on the tiny model, killed with kill -9 in the middle of its work: whoever starts it again gets the unbroken job.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { silentLogger, systemClock } from '../../src/core/index.ts';
import { Supervisor } from '../../src/processes/index.ts';
import type { HyperparameterChoices } from '../../src/training/defaults.ts';
import type { FromTrainer, JobOrder, JobResult, StepMetrics, ToTrainer } from '../../src/training/messages.ts';
import { randomStream } from '../../src/training/trainer/random.ts';
import { fixturePath, repositoryPath } from '../support/repository.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { importTinyModel } from '../support/tiny-model.ts';
import { jobOrder } from '../support/training-job.ts';

const folder = temporaryFolder();
const KILLS = 5;
const JOB: HyperparameterChoices = {
  batchSize: 2,
  gradientAccumulation: 2,
  maxSteps: 30,
  evaluationSteps: 4,
  learningRate: 0.01,
  publish: 'best',
  lora: { r: 2, init: 'pissa', targetModules: ['all-linear'], dropout: 0.1 },
};

beforeAll(() => importTinyModel('tiny-llama', folder));

function order(name: string): JobOrder {
  const trainingFile = fixturePath('trained-adapters/rows.jsonl');
  const place = { modelFolder: join(folder, 'tiny-llama'), trainingFile, validationFile: trainingFile, jobFolder: join(folder, name) };
  return { ...jobOrder(place, JOB), checkpointSteps: 3 };
}

interface Told {
  readonly result: JobResult;
  /** The last that was said of each step, without speeds. */
  readonly steps: readonly Omit<StepMetrics, 'tokensPerSecond'>[];
  readonly attempts: number;
  readonly resumedFrom: readonly number[];
}

/** Runs a job in supervised processes; each is killed at its first message after one of `killAfter` more. */
async function trainInProcesses(wanted: JobOrder, killAfter: readonly number[]): Promise<Told> {
  const supervisor = new Supervisor<ToTrainer, FromTrainer>({
    name: 'trainer',
    command: {
      entry: repositoryPath('src/entries/trainer.ts'),
      args: [JSON.stringify({ logLevel: 'silent' })],
      execArgv: ['--import', 'tsx'],
    },
    protocol: { ping: { kind: 'ping' }, shutdown: { kind: 'shutdown' }, isReady: ({ kind }) => kind === 'ready' },
    backoff: { initialMs: 1, maxMs: 1, healthyMs: 60_000 },
    clock: systemClock,
    logger: silentLogger,
  });
  const steps = new Map<number, Omit<StepMetrics, 'tokensPerSecond'>>();
  const resumedFrom: number[] = [];
  let attempts = 0;
  let left = Number.POSITIVE_INFINITY;
  try {
    const result = await new Promise<JobResult>((resolve, reject) => {
      supervisor.onMessage((message) => {
        if (message.kind === 'ready') {
          left = killAfter[attempts] ?? Number.POSITIVE_INFINITY;
          attempts += 1;
          supervisor.send({ kind: 'start', order: { ...wanted, fence: attempts } });
          return;
        }
        if (message.kind === 'failed') reject(new Error(message.message));
        if ('fence' in message && message.fence !== attempts) reject(new Error(`fence ${message.fence} in attempt ${attempts}`));
        if (message.kind === 'started') resumedFrom.push(message.resumedFromStep);
        if (message.kind === 'step') {
          const { tokensPerSecond, ...metrics } = message.metrics;
          if (!(tokensPerSecond > 0)) reject(new Error(`${tokensPerSecond} tokens a second`));
          steps.set(metrics.step, metrics);
        }
        if (message.kind === 'finished') resolve(message.result);
        left -= 1;
        if (left === 0 && supervisor.pid !== undefined) process.kill(supervisor.pid, 'SIGKILL');
      });
      supervisor.start();
    });
    return { result, steps: [...steps.values()], attempts, resumedFrom };
  } finally {
    await supervisor.stop();
  }
}

function digests({ jobFolder }: JobOrder): readonly string[] {
  return ['adapter_config.json', 'adapter_model.safetensors', 'loss.json', 'loss.svg'].map((name) =>
    createHash('sha256')
      .update(readFileSync(join(jobFolder, 'result', name)))
      .digest('hex'),
  );
}

describe('a trainer process', () => {
  it('that is killed at any moment, again and again, ends with the losses and bytes of the unbroken job', async () => {
    const whole = order('unbroken');
    const unbroken = await trainInProcesses(whole, []);
    expect(unbroken).toMatchObject({ attempts: 1, resumedFrom: [0] });
    const killed = order('killed');
    const stream = randomStream(20, 'kills');
    // A resumed attempt tells its past first: enough messages to get beyond it, and not the same number each time.
    const killAfter = Array.from({ length: KILLS }, (_, index) => 2 + 4 * index + Math.floor(6 * stream.uniform(index)));
    const broken = await trainInProcesses(killed, killAfter);
    expect(broken.attempts).toBe(KILLS + 1);
    expect(Math.max(...broken.resumedFrom)).toBeGreaterThan(3);
    expect(broken.result).toEqual(unbroken.result);
    expect(broken.steps).toEqual(unbroken.steps);
    expect(digests(killed)).toEqual(digests(whole));
  }, 180_000);
});
