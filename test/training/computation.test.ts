// The trainer's computation on the tiny models: losses against a float64 reference, gradients against its finite differences, and the laws
// that batches, recomputation, dropout and precision must keep.
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openModelPackage } from '../../src/models/index.ts';
import { liveHandleCount } from '../../src/runtime/index.ts';
import { createTrainingComputation, createWeightGradients } from '../../src/training/trainer/computation/index.ts';
import type { TrainingComputation, TrainingExample } from '../../src/training/trainer/ports.ts';
import { seededValues } from '../graph/support/random.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { importTinyModel, type TinyModel } from '../support/tiny-model.ts';
import { TRAIN_REFERENCE_LOSS, TRAIN_REFERENCE_SLOPE } from '../support/tolerances.ts';
import { adapterOf, dot, factorsOf, normsOf, type Opened, RANK, referenceLoss, SCALE } from './reference-loss.ts';

const STEP = 1e-5;

const modelsDir = temporaryFolder();

beforeAll(async () => {
  await importTinyModel('tiny-llama', modelsDir);
  await importTinyModel('tiny-llama-untied', modelsDir);
});

/** Rows of different lengths, some tokens of them supervised. */
const EXAMPLES: readonly TrainingExample[] = [
  { tokenIds: Int32Array.of(5, 17, 60, 2, 33), supervised: Uint8Array.of(0, 0, 1, 1, 1) },
  { tokenIds: Int32Array.of(90, 8, 41), supervised: Uint8Array.of(1, 1, 0) },
  { tokenIds: Int32Array.of(7, 7, 120, 300), supervised: Uint8Array.of(0, 0, 0, 1) },
];

/** Rows that begin alike, by two, three and all of them, or not at all; one is another's beginning, one has the same prompt. */
const SHARING: readonly TrainingExample[] = [
  { tokenIds: Int32Array.of(5, 17, 60, 2, 33, 9), supervised: Uint8Array.of(0, 0, 0, 0, 1, 1) },
  { tokenIds: Int32Array.of(5, 17, 60, 2, 90), supervised: Uint8Array.of(0, 0, 0, 0, 1) },
  { tokenIds: Int32Array.of(5, 17, 60, 41, 7, 8, 12), supervised: Uint8Array.of(0, 0, 0, 0, 1, 0, 1) },
  { tokenIds: Int32Array.of(5, 17, 44), supervised: Uint8Array.of(0, 1, 1) },
  { tokenIds: Int32Array.of(5, 3, 60, 2, 33), supervised: Uint8Array.of(0, 0, 0, 1, 0) },
  { tokenIds: Int32Array.of(300, 17, 60), supervised: Uint8Array.of(0, 0, 1) },
];

interface Options {
  readonly dora?: boolean;
  readonly origin?: boolean;
  readonly only?: (site: string) => boolean;
  readonly basePrecision?: 'fp32' | 'int8';
  readonly memoryBudgetBytes?: number;
}

const opened: TrainingComputation[] = [];
afterAll(() => {
  for (const computation of opened) computation.close();
});

async function open(name: TinyModel, { dora = false, origin = false, only = () => true, ...more }: Options = {}): Promise<Opened> {
  const modelFolder = join(modelsDir, name);
  const model = await openModelPackage(modelFolder);
  const sites = model.description.sites
    .filter(({ id }) => only(id))
    .map(({ id, inFeatures, outFeatures }) => ({
      site: id,
      rank: RANK,
      scale: SCALE,
      dora,
      origin: origin ? { a: seededValues(RANK * inFeatures, `${id} a0`, 0.2), b: seededValues(outFeatures * RANK, `${id} b0`, 0.2) } : null,
    }));
  const { basePrecision = 'fp32', memoryBudgetBytes = Number.MAX_SAFE_INTEGER } = more;
  const computation = await createTrainingComputation({ modelFolder, sites, basePrecision, memoryBudgetBytes, threadCount: 1 });
  opened.push(computation);
  for (const { site, part, values } of computation.parameters)
    values.set(seededValues(values.length, `${site} ${part}`, 0.2).map((value) => (part === 'magnitude' ? 1 + value : value)));
  const weights = new Map<string, Float32Array>();
  for (const { name: tensor } of model.description.tensors) weights.set(tensor, await model.weights.readTensor(tensor));
  await model.close();
  return { model, sites, computation, weights };
}

describe.each(['tiny-llama', 'tiny-llama-untied'] as const)('the computation on %s', (name) => {
  it.each([
    ['LoRA', {}],
    ['DoRA', { dora: true }],
    ['an origin', { origin: true }],
    ['DoRA with an origin', { dora: true, origin: true }],
  ] as readonly (readonly [string, Options])[])(
    'has the loss and the gradients of the float64 reference with %s on every site',
    async (_, options) => {
      const subject = await open(name, options);
      const { computation } = subject;
      const factors = factorsOf(subject);
      const norms = options.dora ? normsOf(subject, factors) : null;
      computation.zeroGradients();
      const { loss, supervisedTokens } = computation.accumulate(EXAMPLES, 1, null);
      expect(supervisedTokens).toBe(5);
      expect(Math.abs(loss - referenceLoss(subject, adapterOf(subject, factors, norms), EXAMPLES))).toBeLessThan(TRAIN_REFERENCE_LOSS);
      expect(computation.evaluate(EXAMPLES).loss).toBe(loss);
      for (const { site, part, gradient } of computation.parameters) {
        const direction = seededValues(gradient.length, `${site} ${part} direction`);
        const moved = (step: number): number => {
          const key = `${site} ${part}`;
          const values = Float64Array.from(factors.get(key) ?? [], (value, index) => value + step * (direction[index] ?? 0));
          // PEFT holds the norm constant in the backward pass, so the reference does in its steps.
          return referenceLoss(
            subject,
            adapterOf(subject, new Map([...factors, [key, values as unknown as Float32Array]]), norms),
            EXAMPLES,
          );
        };
        const slope = (moved(STEP) - moved(-STEP)) / (2 * STEP);
        const size = Math.sqrt(dot(gradient, gradient));
        expect(Math.abs(dot(gradient, direction) - slope), `${site} ${part}`).toBeLessThan(TRAIN_REFERENCE_SLOPE * Math.max(1, size));
      }
    },
  );
});

describe('a micro-batch', () => {
  it.each([
    ['none sees another, whatever their lengths', EXAMPLES, {}],
    ['also where they begin alike', SHARING, {}],
    ['also where they begin alike and all layers are computed again', SHARING, { dora: true, memoryBudgetBytes: 1 }],
  ] as readonly (readonly [string, readonly TrainingExample[], Options])[])(
    'is the sum of its examples: %s',
    async (_, examples, options) => {
      const { computation } = await open('tiny-llama', options);
      computation.zeroGradients();
      const together = computation.accumulate(examples, 0.5, null);
      const gradients = computation.parameters.map(({ gradient }) => gradient.slice());
      computation.zeroGradients();
      const apart = examples.map((example) => computation.accumulate([example], 0.5, null));
      expect(together.supervisedTokens).toBe(apart.reduce((sum, { supervisedTokens }) => sum + supervisedTokens, 0));
      expect(Math.abs(together.loss - apart.reduce((sum, { loss }) => sum + loss, 0))).toBeLessThan(TRAIN_REFERENCE_LOSS);
      for (const [index, { gradient }] of computation.parameters.entries()) {
        const difference = gradient.map((value, place) => value - (gradients[index]?.[place] ?? 0));
        expect(dot(difference, difference)).toBeLessThan(1e-8 * Math.max(1, dot(gradient, gradient)));
      }
    },
  );

  it('without a supervised token has no loss and no gradient', async () => {
    const { computation } = await open('tiny-llama');
    computation.zeroGradients();
    const silent = { tokenIds: Int32Array.of(1, 2, 3), supervised: Uint8Array.of(1, 0, 0) };
    expect(computation.accumulate([silent], 1, null)).toEqual({ loss: 0, supervisedTokens: 0 });
    expect(computation.parameters.every(({ gradient }) => gradient.every((value) => value === 0))).toBe(true);
  });

  it('gives the same bits again, also when every layer is computed again for the backward pass', async () => {
    const runs: Float32Array[][] = [];
    for (const memoryBudgetBytes of [Number.MAX_SAFE_INTEGER, 1]) {
      const { computation } = await open('tiny-llama-untied', { dora: true, memoryBudgetBytes });
      for (let repeat = 0; repeat < 2; repeat++) {
        computation.zeroGradients();
        computation.accumulate(EXAMPLES, 1, { rate: 0.2, seed: 3, microBatch: 1 });
        runs.push(computation.parameters.map(({ gradient }) => gradient.slice()));
      }
    }
    for (const run of runs) expect(run).toEqual(runs[0]);
  });

  it('starts an adapter with an origin exactly at the base', async () => {
    const subject = await open('tiny-llama', { origin: true, only: (site) => site !== 'head' });
    const { computation, sites } = subject;
    for (const { site, part, values } of computation.parameters) {
      const origin = sites.find((candidate) => candidate.site === site)?.origin;
      values.set((part === 'A' ? origin?.a : origin?.b) ?? []);
    }
    const base = await open('tiny-llama', { only: (site) => site === 'layers.0.q' });
    for (const { values, part } of base.computation.parameters) if (part === 'B') values.fill(0);
    expect(computation.evaluate(EXAMPLES)).toEqual(base.computation.evaluate(EXAMPLES));
  });
});

describe('closing', () => {
  it('lets go of every native object', async () => {
    const before = liveHandleCount();
    const { computation } = await open('tiny-llama', { dora: true, origin: true, basePrecision: 'int8' });
    opened.pop();
    computation.accumulate(EXAMPLES, 1, { rate: 0.1, seed: 1, microBatch: 1 });
    computation.evaluate(EXAMPLES);
    expect(liveHandleCount()).toBeGreaterThan(before);
    computation.close();
    expect(liveHandleCount()).toBe(before);
  });
});

describe('dropout', () => {
  it('masks by seed and micro-batch, and its gradient is that of the masked loss', async () => {
    const subject = await open('tiny-llama', { dora: true, only: (site) => site !== 'embed' });
    const { computation } = subject;
    const run = (rate: number, seed: number, microBatch: number): number => {
      computation.zeroGradients();
      return computation.accumulate(EXAMPLES, 1, { rate, seed, microBatch }).loss;
    };
    const plain = computation.evaluate(EXAMPLES).loss;
    expect(run(0, 1, 1)).toBe(plain);
    const masked = run(0.3, 1, 1);
    expect(new Set([plain, masked, run(0.3, 1, 2), run(0.3, 2, 1)]).size).toBe(4);
    expect(run(0.3, 1, 1)).toBe(masked);
    for (const { part, values, gradient } of computation.parameters.filter(({ part: p }) => p === 'magnitude')) {
      expect(part).toBe('magnitude');
      const found = gradient.slice();
      const before = values.slice();
      const size = Math.sqrt(dot(found, found));
      const step = 0.02 / Math.max(1, size);
      const moved = (sign: number): number => {
        values.set(before.map((value, index) => value + sign * step * (found[index] ?? 0)));
        return computation.accumulate(EXAMPLES, 0, { rate: 0.3, seed: 1, microBatch: 1 }).loss;
      };
      const slope = (moved(1) - moved(-1)) / (2 * step);
      values.set(before);
      expect(Math.abs(slope - size * size)).toBeLessThan(0.03 * Math.max(0.05, size * size));
    }
  });
});

describe('an int8 base', () => {
  it('has nearly the loss and the gradients of float32', async () => {
    const [exact, rounded] = [await open('tiny-llama'), await open('tiny-llama', { basePrecision: 'int8' })];
    const losses = [exact, rounded].map(({ computation }) => {
      computation.zeroGradients();
      return computation.accumulate(EXAMPLES, 1, null).loss;
    });
    expect(losses[0]).not.toBe(losses[1]);
    expect(Math.abs((losses[0] ?? 0) - (losses[1] ?? 1))).toBeLessThan(0.01 * (losses[0] ?? 0));
    const [left, right] = [exact, rounded].map(({ computation }) => computation.parameters.flatMap(({ gradient }) => [...gradient]));
    if (!left || !right) throw new Error('no gradients');
    expect(dot(left, right) / Math.sqrt(dot(left, left) * dot(right, right))).toBeGreaterThan(0.995);
  });
});

describe('gradients of frozen weights', () => {
  it.each(['fp32', 'int8'] as const)('give those of B by the chain rule at %s: dB = s dW A^T', async (basePrecision) => {
    const names = ['layers.0.q', 'layers.0.v', 'layers.1.o', 'layers.1.up', 'layers.1.down'];
    const { computation } = await open('tiny-llama', { basePrecision, only: (site) => names.includes(site) });
    for (const { part, values } of computation.parameters) if (part === 'B') values.fill(0);
    computation.zeroGradients();
    const { supervisedTokens, loss } = computation.accumulate(EXAMPLES, 1 / 5, null);
    const weightGradients = await createWeightGradients({ modelFolder: join(modelsDir, 'tiny-llama'), basePrecision, threadCount: 1 });
    const found = new Map<string, Float32Array>();
    const result = weightGradients.forEachSite(EXAMPLES, names, (site, gradient) => void found.set(site, gradient));
    weightGradients.close();
    expect(result.supervisedTokens).toBe(supervisedTokens);
    expect(Math.abs(result.loss - loss)).toBeLessThan(TRAIN_REFERENCE_LOSS);
    expect([...found.keys()]).toEqual(names);
    for (const site of names) {
      const [a, b] = (['A', 'B'] as const).map((part) => computation.parameters.find((p) => p.site === site && p.part === part));
      if (!a || !b) throw new Error(`${site} has no factors`);
      const [inFeatures = 0] = a.shape.slice(1);
      const expected = b.gradient.map((_, index) => {
        const [out, r] = [Math.floor(index / RANK), index % RANK];
        const row = found.get(site)?.subarray(out * inFeatures, (out + 1) * inFeatures) ?? new Float32Array();
        return SCALE * dot(row, a.values.subarray(r * inFeatures, (r + 1) * inFeatures));
      });
      const difference = expected.map((value, index) => value - (b.gradient[index] ?? 0));
      expect(dot(difference, difference)).toBeLessThan(1e-8 * dot(expected, expected));
    }
  });

  it('refuses sites that are not linears of layers, and examples with nothing to predict', async () => {
    const weightGradients = await createWeightGradients({
      modelFolder: join(modelsDir, 'tiny-llama'),
      basePrecision: 'fp32',
      threadCount: 1,
    });
    expect(() => weightGradients.forEachSite(EXAMPLES, ['embed'], () => undefined)).toThrow('the weight of embed');
    expect(() => weightGradients.forEachSite([], ['layers.0.q'], () => undefined)).toThrow('no supervised token');
    weightGradients.close();
  });
});
