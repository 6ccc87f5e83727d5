// kill -9 of the trainer and of the whole server while a job runs, again and again: the job ends with the losses and bytes of an unbroken run,
// every step is recorded once, and one version is published. LORIKEET_TEST_KILLS=20 LORIKEET_TEST_KILL_MODEL=real is the long form on the real model.
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it, vi } from 'vitest';
import { Api } from '../support/api.ts';
import { REAL_MODEL, REAL_MODELS_DIR, realModelFolder } from '../support/real-model.ts';
import { fixturePath } from '../support/repository.ts';
import { type RunningServer, type ServerSettings, startServer } from '../support/server.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { importTinyModel } from '../support/tiny-model.ts';
import { createJob, followJob, type JobAnswer, type JobStep, readJob, readSteps, uploadRows } from '../support/training-api.ts';
import { seededValues } from '../graph/support/random.ts';

const KILLS = Number(process.env['LORIKEET_TEST_KILLS'] ?? 4);
const IS_REAL = process.env['LORIKEET_TEST_KILL_MODEL'] === 'real';
const STEPS = IS_REAL ? 40 : 24;
const JOB_MS = 300_000 + KILLS * 60_000;
/** Longest wait after a step before the kill: about one step, so that kills fall anywhere in one. */
const KILL_WITHIN_MS = IS_REAL ? 2000 : 60;
const SEED = 11;
/** Shares of it, one a kill. */
const MOMENTS = seededValues(KILLS, 'kills');

interface Outcome {
  readonly job: JobAnswer;
  readonly steps: readonly JobStep[];
  readonly versions: number;
  readonly digest: string;
}

const modelsDir = IS_REAL ? REAL_MODELS_DIR : temporaryFolder();
const unbrokenDir = temporaryFolder();
const brokenDir = temporaryFolder();

async function settingsIn(dataDir: string): Promise<ServerSettings> {
  if (IS_REAL) await realModelFolder();
  else await importTinyModel('tiny-llama', modelsDir).catch(() => undefined);
  const model = IS_REAL ? REAL_MODEL : 'tiny-llama';
  // A kill may find several attempts in a row before their first checkpoint.
  return {
    modelsDir,
    dataDir,
    model,
    precision: IS_REAL ? 'int8' : 'fp32',
    trainerThreads: '1',
    trainerCheckpointSteps: '3',
    trainerAttempts: '100',
  };
}

async function startJob(api: Api): Promise<string> {
  const rows = readFileSync(fixturePath('e2e/train.jsonl'), 'utf8').split('\n').slice(0, 64);
  const training_file = await uploadRows(api, rows.join('\n'));
  const validation_file = await uploadRows(api, rows.slice(0, 8).join('\n'));
  const model = IS_REAL ? REAL_MODEL : 'tiny-llama';
  const hyperparameters = {
    max_steps: STEPS,
    batch_size: 4,
    evaluation_steps: 6,
    lora: { r: 4, dropout: 0.1, target_modules: 'all-linear' },
  };
  return (await createJob(api, { model, training_file, validation_file, suffix: 'kept', seed: SEED }, hyperparameters)).id;
}

async function outcomeOf(api: Api, id: string): Promise<Outcome> {
  const job = await readJob(api, id);
  const steps = (await readSteps(api, id)).map(({ step, train_loss, grad_norm, valid_loss }) => ({
    step,
    train_loss,
    grad_norm,
    ...(valid_loss !== undefined && { valid_loss }),
  }));
  const { text } = await api.call('GET', '/v1/adapters/kept/versions');
  const { data } = JSON.parse(text) as { data: readonly { digest: string }[] };
  return { job, steps, versions: data.length, digest: data[0]?.digest ?? '' };
}

async function unbroken(): Promise<Outcome> {
  await using server = await startServer(await settingsIn(unbrokenDir));
  const api = new Api(server.url);
  const id = await startJob(api);
  await followJob(api, id);
  return await outcomeOf(api, id);
}

it(`ends as an unbroken job after ${KILLS} kills`, { timeout: JOB_MS }, async () => {
  const expected = await unbroken();
  expect(expected.job).toMatchObject({ status: 'succeeded', error: null });
  const settings = await settingsIn(brokenDir);
  let server = await startServer(settings);
  const id = await startJob(new Api(server.url));
  for (let kill = 0; kill < KILLS; kill += 1) {
    const isOver = await waitForMoment(server, id, Math.abs(MOMENTS[kill] ?? 0) * KILL_WITHIN_MS);
    if (isOver) break;
    const victim = server.trainerPid();
    if (kill % 2 === 0 && victim !== null) process.kill(victim, 'SIGKILL');
    else {
      await server.kill();
      server = await startServer(settings);
    }
  }
  await using last = server;
  const api = new Api(last.url);
  await followJob(api, id);
  const outcome = await outcomeOf(api, id);
  expect(outcome.job).toMatchObject({ status: 'succeeded', error: null });
  expect(outcome.steps).toEqual(expected.steps);
  expect([outcome.digest, outcome.versions]).toEqual([expected.digest, 1]);
  expect(outcome.job.result_files).toHaveLength(2);
});

/** Somewhere in the present attempt; true when the job has ended. */
async function waitForMoment(server: RunningServer, id: string, lateMs: number): Promise<boolean> {
  const api = new Api(server.url);
  const isRunning = async (): Promise<string | null> => {
    const { status } = await readJob(api, id);
    return status === 'queued' || (status === 'running' && server.trainerPid() === null) ? null : status;
  };
  const status = await vi.waitUntil(isRunning, { timeout: 60_000, interval: 20 });
  await delay(lateMs);
  return status === 'succeeded' || status === 'failed';
}
