// Whatever happens to trainer and server while jobs run, and whenever: every job that nobody cancelled ends as an unbroken one, its steps recorded once
// and its adapter published once; a cancelled one leaves nothing. Random histories over a simulated trainer.
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { isAppError, type TenantId } from '../../src/core/index.ts';
import { openMemoryStorage, type Storage } from '../../src/storage/index.ts';
import type { TrainingJob } from '../../src/training/index.ts';
import { tinyAdapter } from '../support/registry-harness.ts';
import { metricsOf, SimulatedTrainer } from '../support/simulated-trainer.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { addRows, jobRequest, openQueue, quiet, type Queue } from './queue-harness.ts';

const TENANTS = ['acme', 'globex'] as TenantId[];
const HISTORIES = 40;
const STEPS = 5;

type Action =
  | { readonly kind: 'create'; readonly tenant: number }
  | { readonly kind: 'tick'; readonly count: number }
  | { readonly kind: 'turn'; readonly count: number }
  | { readonly kind: 'kill-trainer' | 'kill-server' | 'stop-server' }
  | { readonly kind: 'cancel' | 'pause' | 'resume'; readonly job: number };

const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('create' as const), tenant: fc.nat(1) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('tick' as const), count: fc.integer({ min: 1, max: 7 }) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('turn' as const), count: fc.integer({ min: 1, max: 12 }) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom('kill-trainer' as const, 'kill-server' as const, 'stop-server' as const) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('cancel' as const, 'pause' as const, 'resume' as const), job: fc.nat(3) }) },
);

const root = temporaryFolder();
let historyCount = 0;

/** A store that works for a process only while it lives. */
function forProcess(storage: Storage, process: { isDead: boolean }): Storage {
  const guarded = <T extends object>(target: T): T =>
    new Proxy(target, {
      get: (object, key) => {
        const value: unknown = Reflect.get(object, key);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]): unknown => {
          if (process.isDead) throw new Error('this process is dead');
          return Reflect.apply(value, object, args);
        };
      },
    });
  return {
    ...storage,
    jobs: guarded(storage.jobs),
    files: guarded(storage.files),
    adapters: guarded(storage.adapters),
    close: () => undefined,
  };
}

class History {
  readonly folder = join(root, String((historyCount += 1)));
  readonly storage: Storage;
  readonly jobs: TrainingJob[] = [];
  readonly cancelled = new Set<string>();
  #process = { isDead: false };
  #queue: Queue | null = null;

  constructor() {
    mkdirSync(this.folder);
    this.storage = openMemoryStorage(join(this.folder, 'blobs'));
  }

  get queue(): Queue {
    if (this.#queue === null) throw new Error('no server runs');
    return this.#queue;
  }

  async open(): Promise<void> {
    this.#process = { isDead: false };
    const storage = forProcess(this.storage, this.#process);
    const trainer = new SimulatedTrainer({ adapter: tinyAdapter, runs: false });
    this.#queue = await openQueue({ storage, folder: this.folder, trainer, maxDeaths: 1000 });
  }

  async take(step: Action): Promise<void> {
    const { trainer, training } = this.queue;
    switch (step.kind) {
      case 'create':
        return await this.#create(TENANTS[step.tenant] ?? (TENANTS[0] as TenantId));
      case 'tick':
        for (let count = 0; count < step.count; count += 1) trainer.tick();
        return;
      case 'turn':
        for (let count = 0; count < step.count; count += 1) await turn();
        return;
      case 'kill-trainer':
        trainer.die();
        trainer.restart();
        return;
      case 'kill-server':
        this.#process.isDead = true;
        // Its child ends with it, and nobody hears it.
        return await this.open();
      case 'stop-server':
        await training.close(0);
        return await this.open();
      case 'cancel':
      case 'pause':
      case 'resume':
        return this.#steer(step.kind, this.jobs[step.job]);
    }
  }

  async #create(tenant: TenantId): Promise<void> {
    if (this.jobs.length === 4) return;
    const seed = this.jobs.length + 1;
    const file = await addRows(this.queue, tenant, (path) => writeFileSync(path, `{"text":"${seed}"}\n`));
    const request = jobRequest(file, { seed, suffix: `job-${seed}`, choices: { maxSteps: STEPS } });
    this.jobs.push(await this.queue.training.jobs.create(tenant, request));
  }

  #steer(verb: 'cancel' | 'pause' | 'resume', job: TrainingJob | undefined): void {
    if (job === undefined) return;
    try {
      const { status } = this.queue.training.jobs[verb](job.tenant, job.id);
      if (status === 'cancelled') this.cancelled.add(job.id);
    } catch (error) {
      // What has ended, or is not paused, refuses.
      if (!isAppError(error) || error.code !== 'conflict') throw error;
    }
  }

  present(job: TrainingJob): TrainingJob {
    return this.queue.training.jobs.get(job.tenant, job.id);
  }

  async finish(): Promise<void> {
    await quiet(() => {
      for (const job of this.jobs) if (this.present(job).status === 'paused') this.queue.training.jobs.resume(job.tenant, job.id);
      this.queue.trainer.tick();
      return (
        this.jobs.every((job) => ['succeeded', 'failed', 'cancelled'].includes(this.present(job).status)) && !this.queue.trainer.isRunning
      );
    });
    await this.queue.training.close(0);
    await this.queue.registry.settled();
  }
}

async function turn(): Promise<void> {
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
}

it('loses nothing and publishes nothing twice, whatever dies and whenever', { timeout: 240_000 }, async () => {
  const history = fc.array(action, { minLength: 5, maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(history, async (steps) => {
      const world = new History();
      await world.open();
      await world.take({ kind: 'create', tenant: 0 });
      for (const step of steps) {
        await world.take(step);
        expect(world.storage.jobs.withStatus(['running']).length).toBeLessThanOrEqual(1);
      }
      await world.finish();
      for (const job of world.jobs) expect(outcomeOf(world, job)).toEqual(world.cancelled.has(job.id) ? CANCELLED : unbroken(job));
      expect(existsSync(join(world.folder, 'jobs')) ? readdirSync(join(world.folder, 'jobs')) : []).toEqual([]);
      expect(new Set(world.storage.blobs.list())).toEqual(world.storage.adapters.referencedDigests());
    }),
    { numRuns: HISTORIES, seed: 6 },
  );
});

const CANCELLED = { status: 'cancelled', versions: [] };

/** What a job that nobody cancelled comes to. */
function unbroken({ hyperparameters }: TrainingJob) {
  const losses = Array.from({ length: STEPS }, (_, index) => [index + 1, metricsOf({ hyperparameters }, index + 1).trainLoss]);
  return { status: 'succeeded', versions: [1], losses };
}

function outcomeOf({ storage }: History, job: TrainingJob) {
  const status = storage.jobs.get(job.tenant, job.id)?.status;
  const versions = storage.adapters.versions(job.tenant, job.adapterName).map(({ version }) => version);
  const losses = storage.jobs
    .metrics(job.id)
    .map(({ step, data }) => [step, (JSON.parse(data ?? '{}') as { train_loss: number }).train_loss]);
  return status === 'cancelled' ? { status, versions } : { status, versions, losses };
}
