// A whole job over a fake computation: what its steps, checkpoints, interruptions and result are. The real computation: test/parity/training.test.ts.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FakeComputation } from '../../../test/support/fake-training.ts';
import { fixturePath } from '../../../test/support/repository.ts';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { TINY_BASE, tinyWeights } from '../../../test/support/tiny-base.ts';
import type { Clock } from '../../core/index.ts';
import { createEnvironment } from '../../runtime/index.ts';
import { createTokenizer, tokenizerFromGguf } from '../../text/index.ts';
import { type HyperparameterChoices, resolveHyperparameters } from '../defaults.ts';
import type { JobOrder, JobResult, StepMetrics } from '../messages.ts';
import { rowTextOf } from '../rows/index.ts';
import { Products } from './algebra/products.ts';
import { Interrupted, type Wish } from './interruption.ts';
import { type JobPorts, runJob } from './job.ts';

const folder = temporaryFolder();
const { metadata } = JSON.parse(readFileSync(fixturePath('tokenizer/byte-level.json'), 'utf8')) as { metadata: Record<string, unknown> };
const text = rowTextOf(
  createTokenizer(tokenizerFromGguf(new Map(Object.entries({ 'tokenizer.ggml.pre': 'smollm', ...metadata })))),
  null,
  [2],
);

function writeRows(name: string, count: number, first = 0): string {
  const path = join(folder, name);
  const row = (index: number): string =>
    JSON.stringify({ prompt: `p${index}`, completion: `c${(index * 37) % 101} ${'x'.repeat(index % 5)}` });
  writeFileSync(path, Array.from({ length: count }, (_, index) => row(first + index)).join('\n'));
  return path;
}

const trainingFile = writeRows('training.jsonl', 11);
const validationFile = writeRows('validation.jsonl', 3, 100);
const clock: Clock = { now: () => 0, monotonic: () => 0 };

interface Attempt {
  readonly result: JobResult | Wish;
  readonly steps: readonly StepMetrics[];
  readonly checkpoints: readonly number[];
  readonly started: { readonly totalSteps: number; readonly resumedFromStep: number } | null;
  readonly durableStep: number;
  readonly turns: number;
  readonly computation: FakeComputation | null;
}

let jobCount = 0;

function orderOf(choices: HyperparameterChoices, changes: Partial<JobOrder> = {}): JobOrder {
  jobCount += 1;
  const small: HyperparameterChoices = { batchSize: 2, gradientAccumulation: 2, epochs: 3, evaluationSteps: 2, learningRate: 0.05 };
  return {
    jobId: `job-${jobCount}`,
    fence: 1,
    modelFolder: 'tiny',
    trainingFile,
    validationFile,
    initialAdapter: null,
    jobFolder: join(folder, `job-${jobCount}`),
    hyperparameters: resolveHyperparameters({ ...small, ...choices, lora: { r: 2, ...choices.lora } }, 5, 256),
    threadCount: 1,
    memoryBudgetBytes: 1e9,
    checkpointSteps: 2,
    ...changes,
  };
}

/** Runs until it ends or until turn number `after`, where `wish` (or, for null, a crash) meets it. */
async function attempt(order: JobOrder, stop?: { readonly after: number; readonly wish: Wish | null }): Promise<Attempt> {
  const seen = { steps: [] as StepMetrics[], checkpoints: [] as number[], durableStep: 0, turns: 0 };
  let started: Attempt['started'] = null;
  let computation: FakeComputation | null = null;
  const ports: JobPorts = {
    openBase: async () => ({ description: TINY_BASE, text, weights: tinyWeights(), close: async () => undefined }),
    openComputation: async (options) => (computation = new FakeComputation(options)),
    openGradients: async () => ({
      close: () => undefined,
      forEachSite: (examples, sites, take) => {
        for (const site of TINY_BASE.sites.filter(({ id }) => sites.includes(id)))
          take(
            site.id,
            Float32Array.from({ length: site.inFeatures * site.outFeatures }, (_, index) => Math.sin(index * examples.length)),
          );
        return { loss: 0, supervisedTokens: 1 };
      },
    }),
    openProducts: () => {
      const environment = createEnvironment({ threadCount: 1, allowSpinning: false });
      return new Products(environment, () => environment.dispose());
    },
    clock,
  };
  const turn = async (): Promise<void> => {
    seen.turns += 1;
    if (stop === undefined || seen.turns <= stop.after) return;
    throw stop.wish === null ? new Error('killed') : new Interrupted(stop.wish);
  };
  const result = await runJob(order, ports, {
    turn,
    started: (totalSteps, resumedFromStep) => (started = { totalSteps, resumedFromStep }),
    step: (metrics) => seen.steps.push(metrics),
    checkpoint: (step) => seen.checkpoints.push(step),
    durable: (step) => (seen.durableStep = step),
  }).catch((error: unknown): Wish => {
    if (error instanceof Interrupted) return error.wish;
    throw error;
  });
  return { result, ...seen, started, computation };
}

const RESULT_FILES = ['adapter_config.json', 'adapter_model.safetensors', 'loss.json', 'loss.svg'];

function resultFiles({ jobFolder }: JobOrder): readonly string[] {
  return RESULT_FILES.map((name) =>
    createHash('sha256')
      .update(readFileSync(join(jobFolder, 'result', name)))
      .digest('hex'),
  );
}

/** The last that was said of each step. */
function latest(steps: readonly StepMetrics[]): readonly StepMetrics[] {
  return [...new Map(steps.map((metrics) => [metrics.step, metrics])).values()];
}

describe('a job', () => {
  it('takes its steps, evaluates, keeps the last checkpoint and leaves a whole result', async () => {
    const order = orderOf({});
    const { result, steps, checkpoints, started, computation } = await attempt(order);
    expect(started).toEqual({ totalSteps: 9, resumedFromStep: 0 });
    expect(steps.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(steps.map(({ validLoss }) => validLoss !== undefined)).toEqual([false, true, false, true, false, true, false, true, true]);
    expect(steps.at(-1)?.trainLoss).toBeLessThan(0.5 * (steps[0]?.trainLoss ?? 0));
    expect(checkpoints).toEqual([2, 4, 6, 8]);
    expect(readdirSync(join(order.jobFolder, 'checkpoints')).toSorted()).toEqual(['0', '8']);
    expect(readdirSync(join(order.jobFolder, 'result')).toSorted()).toEqual([...RESULT_FILES, 'result.json'].toSorted());
    expect(result).toMatchObject({
      steps: 9,
      publishedStep: 9,
      trainableParameters: 2 * 2 * (64 + 64) + 2 * 2 * (64 + 32),
      stoppedEarly: false,
      recompressionError: null,
      finalTrainLoss: steps.at(-1)?.trainLoss,
      bestValidLoss: Math.min(...steps.flatMap(({ validLoss }) => validLoss ?? [])),
    });
    expect(computation?.isClosed).toBe(true);
  });

  it('gives every step the mean over the supervised tokens of all its micro-batches', async () => {
    // One step over all rows is the same step however it is cut.
    const whole = await attempt(orderOf({ batchSize: 11, gradientAccumulation: 1, epochs: 1 }));
    const cut = await attempt(orderOf({ batchSize: 3, gradientAccumulation: 4, epochs: 1 }));
    expect(cut.computation?.runs.filter(({ kind }) => kind === 'accumulate').map(({ examples }) => examples)).toEqual([3, 3, 3, 2]);
    expect(cut.steps[0]?.trainLoss).toBeCloseTo(whole.steps[0]?.trainLoss ?? 0, 10);
    expect(cut.steps[0]?.gradNorm).toBeCloseTo(whole.steps[0]?.gradNorm ?? 0, 5);
    expect(cut.steps[0]?.supervisedTokens).toBe(whole.steps[0]?.supervisedTokens);
  });

  it('numbers micro-batches for dropout through the whole job', async () => {
    const { computation } = await attempt(orderOf({ lora: { dropout: 0.1 } }));
    const numbers = computation?.runs.filter(({ kind }) => kind === 'accumulate').map(({ microBatch }) => microBatch);
    // The third step of each epoch has one row in its second micro-batch.
    expect(numbers).toEqual(Array.from({ length: 18 }, (_, index) => index));
  });

  it('stops early once the validation loss has not fallen for a while, and publishes the best step', async () => {
    const order = orderOf({ learningRate: 1.5, epochs: 40, earlyStoppingPatience: 2, scheduler: 'constant', warmupRatio: 0 });
    const { result, steps } = await attempt(order);
    const losses = steps.flatMap(({ step, validLoss }) => (validLoss === undefined ? [] : [{ step, validLoss }]));
    const best = losses.reduce((least, evaluation) => (evaluation.validLoss < least.validLoss ? evaluation : least));
    expect(result).toMatchObject({ stoppedEarly: true, publishedStep: best.step, bestValidLoss: best.validLoss, steps: best.step + 4 });
    // What is published are the values of that step: a job that ends there publishes the same.
    const short = { ...order, jobFolder: `${order.jobFolder}-short`, hyperparameters: { ...order.hyperparameters, maxSteps: best.step } };
    await attempt(short);
    expect(resultFiles(order)[1]).toBe(resultFiles(short)[1]);
  });

  it('begins with the adapter that it continues from', async () => {
    const order = orderOf(
      { lora: { r: 8, alpha: 16 }, maxSteps: 1, learningRate: 0 },
      { initialAdapter: fixturePath('tiny-adapters/qv-r8') },
    );
    await attempt(order);
    const bytes = (path: string): Buffer => readFileSync(join(path, 'adapter_model.safetensors'));
    expect(bytes(join(order.jobFolder, 'result')).equals(bytes(fixturePath('tiny-adapters/qv-r8')))).toBe(true);
  });

  it('ends with a message that helps when its loss is not a number any more', async () => {
    await expect(attempt(orderOf({ learningRate: 1e39, maxGradNorm: 0 }))).rejects.toThrow(
      /loss of step \d is not a number any more; try a lower/,
    );
  });

  it('names the line of a row that cannot be trained on', async () => {
    const path = join(folder, 'broken.jsonl');
    writeFileSync(path, '{"text": "a b"}\n\n{"text": 3}\n');
    await expect(attempt(orderOf({}, { trainingFile: path }))).rejects.toThrow('training file, line 3: "text": got 3, expected a string');
    writeFileSync(path, '\n');
    await expect(attempt(orderOf({}, { validationFile: path }))).rejects.toThrow('validation file: got no rows, expected at least one');
  });
});

describe.each<[string, HyperparameterChoices]>([
  ['plain', {}],
  [
    'with dropout, LoRA+, decay and a schedule',
    { weightDecay: 0.1, scheduler: 'cosine', warmupRatio: 0.2, lora: { dropout: 0.2, loraplusLrRatio: 4 } },
  ],
  ['DoRA that publishes the best step', { publish: 'best', lora: { useDora: true } }],
  ['LoRA-GA, recompressed', { recompressRank: 3, lora: { init: 'lora_ga', targetModules: ['all-linear', 'embed_tokens'] } }],
  ['PiSSA', { lora: { init: 'pissa' } }],
])('a job that is interrupted, %s,', (_, choices) => {
  it('ends with the losses and the bytes of the unbroken one, wherever and however often it was', async () => {
    const unbroken = orderOf(choices);
    const whole = await attempt(unbroken);
    const stops = fc.array(
      fc.record({ after: fc.integer({ min: 0, max: whole.turns }), wish: fc.constantFrom<Wish | null>('pause', 'shutdown', null) }),
      { minLength: 1, maxLength: 4 },
    );
    await fc.assert(
      fc.asyncProperty(stops, async (interruptions) => {
        const order = orderOf(choices, { checkpointSteps: 3 });
        const told: StepMetrics[] = [];
        for (const stop of interruptions) {
          const { steps } = await attempt(order, stop).catch(() => ({ steps: [] as StepMetrics[] }));
          told.push(...steps);
          expect(
            existsSync(join(order.jobFolder, 'checkpoints')) ? readdirSync(join(order.jobFolder, 'checkpoints')).length : 0,
          ).toBeLessThan(3);
        }
        const last = await attempt(order);
        expect(last.result).toEqual(whole.result);
        expect(latest([...told, ...last.steps])).toEqual(whole.steps);
        expect(resultFiles(order)).toEqual(resultFiles(unbroken));
      }),
      { seed: 7, numRuns: 6 },
    );
  });
});

describe('an interruption', () => {
  it('takes effect before the next micro-batch, and the steps that are done are durable', async () => {
    const order = orderOf({}, { checkpointSteps: 100 });
    const whole = await attempt(orderOf({}));
    for (let after = 5; after < 14; after += 1) {
      const { result, steps, durableStep, computation } = await attempt(
        { ...order, jobFolder: `${order.jobFolder}-${after}` },
        { after, wish: 'pause' },
      );
      expect(result).toBe('pause');
      expect(computation?.runs.length).toBeLessThanOrEqual(after - 5);
      expect(durableStep).toBeGreaterThanOrEqual(steps.length);
      expect(steps).toEqual(whole.steps.slice(0, steps.length));
    }
  });

  it('while the adapter is made leaves a job that begins anew', async () => {
    const order = orderOf({ lora: { init: 'pissa' } });
    expect(await attempt(order, { after: 2, wish: 'pause' })).toMatchObject({ result: 'pause', durableStep: 0, started: null });
    expect((await attempt(order)).started).toEqual({ totalSteps: 9, resumedFromStep: 0 });
  });
});

describe('an attempt that comes after the result', () => {
  it('tells all steps and the result again, and computes nothing', async () => {
    const order = orderOf({});
    const first = await attempt(order);
    const again = await attempt({ ...order, fence: 2 });
    expect(again).toMatchObject({ result: first.result, steps: first.steps, computation: null });
  });
});

describe('a checkpoint', () => {
  it('of a job with other rows or hyperparameters is not gone on from', async () => {
    const order = orderOf({});
    await attempt(order, { after: 9, wish: 'pause' });
    const other = { ...order.hyperparameters, learningRate: 0.01 };
    await expect(attempt({ ...order, hyperparameters: other })).rejects.toThrow(/checkpoint 0 is of another job/);
  });
});
