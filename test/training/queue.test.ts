// The queue of training jobs over a simulated trainer: order, fences, deaths, leases, restarts, publication.
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import type { AdapterName, TenantId } from '../../src/core/index.ts';
import { openStorage, type Storage } from '../../src/storage/index.ts';
import type { JobRequest, TrainingJob } from '../../src/training/index.ts';
import type { FromTrainer, JobOrder } from '../../src/training/messages.ts';
import { refusalOf } from '../support/refusal.ts';
import { tinyAdapter } from '../support/registry-harness.ts';
import { metricsOf, SimulatedTrainer } from '../support/simulated-trainer.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import {
  addRows,
  GOOD_ROWS,
  jobRequest,
  ManualClock,
  metricsOfJob,
  openQueue,
  type Queue,
  type QueueOptions,
  quiet,
} from './queue-harness.ts';

const ACME = 'acme' as TenantId;
const GLOBEX = 'globex' as TenantId;

const root = temporaryFolder();
let count = 0;
let folder: string;
let storage: Storage;
beforeEach(() => {
  count += 1;
  folder = join(root, String(count));
  storage = openStorage(folder);
  return () => storage.close();
});

async function open(options: Partial<QueueOptions> = {}): Promise<Queue> {
  return await openQueue({ storage, folder, ...options });
}

async function create(queue: Queue, tenant: TenantId, fields: Partial<JobRequest> = {}): Promise<TrainingJob> {
  const file = await addRows(queue, tenant, (path) => writeFileSync(path, '{"text":"x"}\n'));
  return await queue.training.jobs.create(tenant, jobRequest(file, fields));
}

const at = (queue: Queue, job: TrainingJob): TrainingJob => queue.training.jobs.get(job.tenant, job.id);

async function atWork({ trainer }: Queue, job: TrainingJob): Promise<void> {
  await quiet(() => trainer.work?.order.jobId === job.id);
}

async function runToEnd(queue: Queue, job: TrainingJob): Promise<TrainingJob> {
  await quiet(() => {
    if (queue.trainer.work?.order.jobId === job.id) queue.trainer.tick();
    return ['succeeded', 'failed', 'cancelled'].includes(at(queue, job).status);
  });
  return at(queue, job);
}

describe('the queue', () => {
  it('starts the trainer when a job is due, runs one at a time, tenants in turn, and ends it when none is left', async () => {
    const queue = await open();
    expect(queue.trainer.startCount).toBe(0);
    const [a1, a2, g1] = [await create(queue, ACME), await create(queue, ACME), await create(queue, GLOBEX)];
    await quiet(() => {
      queue.trainer.tick();
      return [a1, a2, g1].every((job) => at(queue, job).status === 'succeeded');
    });
    expect(queue.trainer.orders.map(({ jobId }) => jobId)).toEqual([a1.id, g1.id, a2.id]);
    await quiet(() => !queue.trainer.isRunning);
    expect(queue.trainer.startCount).toBe(1);
    await queue.training.close(0);
    expect(readdirSync(join(folder, 'jobs'))).toEqual([]);
  });

  it('ignores what an attempt says after another has begun', async () => {
    const queue = await open();
    const job = await create(queue, ACME);
    await atWork(queue, job);
    const { order } = queue.trainer.work ?? {};
    if (order === undefined) throw new Error('no order');
    queue.trainer.die();
    queue.trainer.restart();
    await atWork(queue, job);
    const late: FromTrainer = { kind: 'step', jobId: job.id, fence: order.fence, metrics: metricsOf(order, 3) };
    queue.trainer.emit(late);
    queue.trainer.emit({ kind: 'paused', jobId: job.id, fence: order.fence, step: 3 });
    expect(metricsOfJob(storage, job)).toEqual([]);
    expect(at(queue, job)).toMatchObject({ status: 'running', step: 0 });
    expect((await runToEnd(queue, job)).status).toBe('succeeded');
    await queue.training.close(0);
  });

  it('goes on from the last checkpoint when the trainer died, before other jobs', async () => {
    const queue = await open();
    const [job, other] = [await create(queue, ACME), await create(queue, GLOBEX)];
    await atWork(queue, job);
    for (let tick = 0; tick < 3; tick += 1) queue.trainer.tick();
    queue.trainer.die();
    queue.trainer.restart();
    await atWork(queue, job);
    expect(queue.trainer.work?.step).toBe(2);
    expect((await runToEnd(queue, job)).status).toBe('succeeded');
    expect(metricsOfJob(storage, job)).toEqual([1, 2, 3, 4, 5]);
    await atWork(queue, other);
    await queue.training.close(0);
  });

  it('fails a job at which the trainer dies again and again without a checkpoint, and goes on with the next', async () => {
    const queue = await open({ maxDeaths: 3 });
    const [job, other] = [await create(queue, ACME), await create(queue, ACME)];
    for (let death = 0; death < 3; death += 1) {
      await atWork(queue, job);
      queue.trainer.tick();
      queue.trainer.die();
      queue.trainer.restart();
    }
    expect(at(queue, job)).toMatchObject({ status: 'failed', error: { code: 'internal' }, published: null });
    expect(at(queue, job).error?.message).toContain('3 times');
    await atWork(queue, other);
    await queue.training.close(0);
  });

  it('forgives deaths after a checkpoint', async () => {
    const queue = await open({ maxDeaths: 2 });
    const job = await create(queue, ACME, { choices: { maxSteps: 9 } });
    for (let death = 0; death < 4; death += 1) {
      await atWork(queue, job);
      queue.trainer.tick();
      queue.trainer.tick();
      queue.trainer.die();
      queue.trainer.restart();
    }
    expect((await runToEnd(queue, job)).status).toBe('succeeded');
    await queue.training.close(0);
  });

  it('gives up a trainer that was silent for a lease, and goes on with the job', async () => {
    const clock = new ManualClock();
    const queue = await open({ clock, leaseMs: 20 });
    const job = await create(queue, ACME);
    await atWork(queue, job);
    queue.trainer.isHanging = true;
    clock.timeMs += 21;
    await quiet(() => queue.trainer.startCount === 2);
    await atWork(queue, job);
    expect((await runToEnd(queue, job)).status).toBe('succeeded');
    expect(queue.trainer.orders.map(({ fence }) => fence)).toEqual([1, 2]);
    await queue.training.close(0);
  });

  it('fails a job whose trainer says so, with its words', async () => {
    const queue = await open();
    const job = await create(queue, ACME);
    await atWork(queue, job);
    const { fence } = queue.trainer.work?.order ?? { fence: 0 };
    queue.trainer.emit({ kind: 'failed', jobId: job.id, fence, code: 'invalid_request', message: 'the loss is not finite' });
    expect(at(queue, job)).toMatchObject({ status: 'failed', error: { code: 'invalid_request', message: 'the loss is not finite' } });
    await queue.training.close(0);
  });
});

describe('a server that ends or dies', () => {
  it('leaves a checkpoint when it is stopped, and the next one goes on from there', async () => {
    const first = await open();
    const job = await create(first, ACME);
    await atWork(first, job);
    first.trainer.tick();
    const closed = first.training.close(60_000);
    first.trainer.tick();
    await closed;
    expect(storage.jobs.get(ACME, job.id)).toMatchObject({ status: 'queued', interrupted: true, step: 1 });
    const second = await open();
    await atWork(second, job);
    expect(second.trainer.work?.step).toBe(1);
    expect((await runToEnd(second, job)).status).toBe('succeeded');
    expect(metricsOfJob(storage, job)).toEqual([1, 2, 3, 4, 5]);
    await second.training.close(0);
  });

  it('does not wait longer than asked for a trainer that does not answer', async () => {
    const queue = await open();
    const job = await create(queue, ACME);
    await atWork(queue, job);
    queue.trainer.isHanging = true;
    await queue.training.close(5);
    expect(storage.jobs.get(ACME, job.id)).toMatchObject({ status: 'queued', interrupted: true });
  });

  it('publishes a finished job once, wherever it died on the way', async () => {
    const first = await open();
    const job = await create(first, ACME, { suffix: 'poet' });
    await runToEnd(first, job);
    await first.training.close(0);
    // As if the process had died after the upload and before the row said so.
    const row = storage.jobs.get(ACME, job.id);
    for (const file of row?.resultFiles ?? []) storage.files.remove(ACME, file);
    const finished = { status: 'succeeded', result: row?.result ?? null } as const;
    storage.jobs.change(
      job.id,
      { statuses: [finished.status] },
      { status: 'running', leaseUntilMs: 1, finishedAtMs: null, publishedVersion: null, publishedDigest: null, resultFiles: [] },
    );
    writeResult(job, 1);
    const second = await open();
    await quiet(() => at(second, job).status === 'succeeded');
    expect(at(second, job).published?.version).toBe(1);
    expect(storage.adapters.versions(ACME, 'poet' as AdapterName)).toHaveLength(1);
    expect(second.trainer.orders).toEqual([]);
    await second.training.close(0);
  });

  it('publishes no other bytes than those that the trainer reported', async () => {
    const first = await open();
    const job = await create(first, ACME, { suffix: 'poet' });
    await runToEnd(first, job);
    await first.training.close(0);
    storage.jobs.change(
      job.id,
      { statuses: ['succeeded'] },
      { status: 'running', leaseUntilMs: 1, publishedVersion: null, resultFiles: [] },
    );
    storage.adapters.removeAdapter(ACME, 'poet' as AdapterName);
    writeResult(job, 2);
    const second = await open();
    await quiet(() => at(second, job).status === 'failed');
    expect(storage.adapters.versions(ACME, 'poet' as AdapterName)).toEqual([]);
    await second.training.close(0);
  });

  it('removes folders of jobs that are not there, and of those that have ended', async () => {
    const first = await open();
    const paused = await create(first, ACME);
    await atWork(first, paused);
    first.training.jobs.pause(ACME, paused.id);
    first.trainer.tick();
    await first.training.close(0);
    writeResult({ ...paused, id: 'ftjob-gone' }, 1);
    const second = await open();
    expect(readdirSync(join(folder, 'jobs'))).toEqual([paused.id]);
    expect(at(second, paused).status).toBe('paused');
    await second.training.close(0);
  });

  function writeResult(job: Pick<TrainingJob, 'id'>, seed: number): void {
    const trainer = new SimulatedTrainer({ adapter: tinyAdapter, runs: false });
    const jobFolder = join(folder, 'jobs', job.id);
    const hyperparameters = { seed, maxSteps: 0 };
    trainer.start();
    trainer.send({
      kind: 'start',
      order: { jobId: job.id, fence: 0, jobFolder, hyperparameters } as unknown as JobOrder,
    });
    trainer.tick();
    expect(existsSync(join(jobFolder, 'result'))).toBe(true);
  }
});

describe('a check of rows that takes long', () => {
  it('goes on behind a job in validating_files, which is then queued or fails', async () => {
    const answers: ((report: Parameters<typeof Promise.resolve>[0]) => void)[] = [];
    const checker = { check: () => new Promise<never>((resolve) => answers.push(resolve as never)) };
    const queue = await open({ checker, answerWithinMs: 1 });
    const [good, bad] = [await create(queue, ACME), await create(queue, ACME)];
    expect([good.status, bad.status]).toEqual(['validating_files', 'validating_files']);
    answers[0]?.(GOOD_ROWS);
    answers[1]?.({ kind: 'bad', problems: [{ line: 7, message: 'got nothing' }] });
    await quiet(() => at(queue, bad).status === 'failed');
    expect(at(queue, bad).error).toEqual({
      code: 'invalid_request',
      message: '"training_file": line 7: got nothing',
      param: 'training_file',
    });
    await atWork(queue, good);
    await queue.training.close(0);
  });

  it('begins again after a restart', async () => {
    const never = { check: () => new Promise<never>(() => undefined) };
    const first = await open({ checker: never, answerWithinMs: 1 });
    const job = await create(first, ACME);
    await first.training.close(0);
    const second = await open();
    expect((await runToEnd(second, job)).status).toBe('succeeded');
    await second.training.close(0);
  });

  it('queues nothing when it is short and finds something', async () => {
    const checker = { check: async () => ({ kind: 'bad', problems: [{ line: 2, message: 'x' }] }) as const };
    const queue = await open({ checker });
    const refusal = await refusalOf(() => create(queue, ACME));
    expect([refusal.code, refusal.param, refusal.message]).toEqual(['invalid_request', 'training_file', '"training_file": line 2: x']);
    expect(queue.training.jobs.list(ACME, { after: null, limit: 9 }).entries).toEqual([]);
    await queue.training.close(0);
  });
});
