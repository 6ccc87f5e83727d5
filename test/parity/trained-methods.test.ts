// Every method of the trainer on the tiny model: the adapters that PEFT was asked about are what training gives, inits that subtract their beginning begin
// at the base, and their first step goes where the paper says. What the adapters compute once served: tiny.test.ts.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Matrix } from 'ml-matrix';
import { beforeAll, describe, expect, it } from 'vitest';
import { readSafetensors, tensorToFloat32 } from '../../src/formats/index.ts';
import { createTokenizer } from '../../src/text/index.ts';
import { openModelPackage } from '../../src/models/index.ts';
import { resolveHyperparameters } from '../../src/training/defaults.ts';
import type { LoraInit } from '../../src/training/hyperparameters.ts';
import { rowTextOf } from '../../src/training/rows/index.ts';
import { readAdapter } from '../../src/training/trainer/adapter/read-adapter.ts';
import type { InitialValues } from '../../src/training/trainer/adapter/trained-site.ts';
import { createTrainingComputation, createWeightGradients } from '../../src/training/trainer/computation/index.ts';
import { loadExamples } from '../../src/training/trainer/dataset/load-examples.ts';
import { initialValues } from '../../src/training/trainer/initialise/initial-values.ts';
import { machine } from '../../src/training/trainer/machine.ts';
import type { TrainedParameter, TrainingExample } from '../../src/training/trainer/ports.ts';
import { resolveSites } from '../../src/training/trainer/sites.ts';
import { fixturePath } from '../support/repository.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { importTinyModel } from '../support/tiny-model.ts';
import { RETRAINED_VALUES, UNCHANGED_LOGPROB } from '../support/tolerances.ts';
import { METHODS, trainMethod } from '../support/trained-adapters.ts';

const folder = temporaryFolder();
const modelFolder = join(folder, 'tiny-llama');
const runtime = { modelFolder, basePrecision: 'fp32', threadCount: 2, memoryBudgetBytes: 2e9 } as const;
let examples: readonly TrainingExample[];

beforeAll(async () => {
  await importTinyModel('tiny-llama', folder);
  const { tokenizer, chatTemplate, description } = await openModelPackage(modelFolder);
  const text = rowTextOf(createTokenizer(tokenizer), chatTemplate, description.stopTokenIds);
  examples = await loadExamples(fixturePath('trained-adapters/rows.jsonl'), 'training', text, 256);
});

function tensorsOf(path: string): ReadonlyMap<string, Float32Array> {
  const { tensors } = readSafetensors(readFileSync(join(path, 'adapter_model.safetensors')));
  return new Map([...tensors].map(([name, tensor]) => [name, tensorToFloat32(tensor)]));
}

function norm(values: Iterable<number>): number {
  let sum = 0;
  for (const value of values) sum += value * value;
  return Math.sqrt(sum);
}

describe('training again', () => {
  it.each(Object.keys(METHODS))('gives the adapter of the fixtures: %s', async (name) => {
    const fixture = fixturePath(`trained-adapters/${name}`);
    const { adapter } = await trainMethod(name, modelFolder, join(folder, 'again'));
    expect(readFileSync(join(adapter, 'adapter_config.json'), 'utf8')).toBe(readFileSync(join(fixture, 'adapter_config.json'), 'utf8'));
    const [found, wanted] = [tensorsOf(adapter), tensorsOf(fixture)];
    expect([...found.keys()]).toEqual([...wanted.keys()]);
    // Signs of singular directions are free, so only what they make is compared for the recompressed one.
    const [mine, theirs] = [product(found), product(wanted)];
    expect(norm(mine.map((value, index) => value - (theirs[index] ?? Number.NaN)))).toBeLessThan(RETRAINED_VALUES * norm(theirs));
  });
});

/** All products BA and magnitudes after one another. */
function product(tensors: ReadonlyMap<string, Float32Array>): Float64Array {
  const parts: number[] = [];
  for (const [name, a] of tensors) {
    const b = tensors.get(name.replace('_A', '_B'));
    if (!name.includes('_A') || b === undefined) {
      if (name.includes('magnitude')) parts.push(...a);
      continue;
    }
    const rank = rankOf(name, a.length, b.length);
    const left = Matrix.from1DArray(b.length / rank, rank, [...b]);
    parts.push(...left.mmul(Matrix.from1DArray(rank, a.length / rank, [...a])).to1DArray());
  }
  return Float64Array.from(parts);
}

/** Of tiny-llama's shapes: the rank that makes A [rank, in] and B [out, rank] fit. */
function rankOf(name: string, lengthA: number, lengthB: number): number {
  const [, input, output] = SHAPES.find(([module]) => name.includes(module)) ?? ['', 0, 0];
  const rank = lengthA / input;
  expect(lengthB).toBe(rank * output);
  return rank;
}

const SHAPES: readonly (readonly [module: string, input: number, output: number])[] = [
  ['q_proj', 64, 64],
  ['k_proj', 64, 32],
  ['v_proj', 64, 32],
  ['o_proj', 64, 64],
  ['gate_proj', 64, 96],
  ['up_proj', 64, 96],
  ['down_proj', 96, 64],
  ['embed_tokens', 384, 64],
  ['lm_head', 64, 384],
];

interface Beginning {
  readonly initial: readonly InitialValues[];
  readonly gradients: ReadonlyMap<string, Float32Array>;
}

/** Initial values and the base's own gradients over all rows. */
async function beginning(init: LoraInit, targetModules: readonly string[] = ['all-linear']): Promise<Beginning> {
  const model = await openModelPackage(modelFolder);
  const { weights, description } = model;
  const hyperparameters = resolveHyperparameters({ lora: { r: 4, alpha: 8, useRslora: true, init, targetModules } }, 1, 256);
  const gradients = new Map<string, Float32Array>();
  const source = await createWeightGradients(runtime);
  using products = machine.openProducts(2);
  const targets = resolveSites(hyperparameters.lora, description);
  source.forEachSite(
    examples,
    targets.map(({ site }) => site.id),
    (site, gradient) => void gradients.set(site, gradient.slice()),
  );
  const initial = await initialValues(hyperparameters, targets, {
    weights,
    products,
    gradients: (sites, take) => sites.forEach((site) => take(site, gradients.get(site) ?? new Float32Array())),
    turn: async () => undefined,
  });
  source.close();
  await model.close();
  return { initial, gradients };
}

/** Computes with these values, origins subtracted, and calls back with the parameters' gradients of the mean loss. */
async function withGradients<T>(
  initial: readonly InitialValues[],
  use: (loss: number, parameters: readonly TrainedParameter[]) => T,
): Promise<T> {
  const sites = initial.map(({ target, a, b, changesBase }) => ({
    site: target.site.id,
    rank: target.rank,
    scale: target.scale,
    dora: false,
    origin: changesBase ? { a, b } : null,
  }));
  const computation = await createTrainingComputation({ ...runtime, sites });
  try {
    for (const { site, part, values } of computation.parameters) {
      const from = initial.find(({ target }) => target.site.id === site);
      values.set((part === 'A' ? from?.a : from?.b) ?? []);
    }
    const supervised = examples.reduce((sum, example) => sum + example.supervised.reduce((count, flag) => count + flag, 0), 0);
    computation.zeroGradients();
    const { loss } = computation.accumulate(examples, 1 / supervised, null);
    return use(loss / supervised, computation.parameters);
  } finally {
    computation.close();
  }
}

/**
 * What of the first step of plain gradient descent is not along the full gradient, over all places: the least of ‖ΔW − zeta·G‖ / ‖ΔW‖ over zeta, with
 * ΔW = s·(dB A + B dA) (arXiv 2407.05000, section 3.2).
 */
async function distanceFromFull({ initial, gradients }: Beginning): Promise<ReadonlyMap<string, number>> {
  return withGradients(initial, (_, parameters) => {
    const gradientOf = (site: string, part: string): Float32Array =>
      parameters.find((parameter) => parameter.site === site && parameter.part === part)?.gradient ?? new Float32Array();
    return new Map(
      initial.map(({ target, a, b }): [string, number] => {
        const { site, rank } = target;
        const inputs = (values: Float32Array): Matrix => Matrix.from1DArray(rank, site.inFeatures, [...values]);
        const outputs = (values: Float32Array): Matrix => Matrix.from1DArray(site.outFeatures, rank, [...values]);
        const step = outputs(gradientOf(site.id, 'B'))
          .mmul(inputs(a))
          .add(outputs(b).mmul(inputs(gradientOf(site.id, 'A'))));
        const full = Matrix.from1DArray(site.outFeatures, site.inFeatures, [...(gradients.get(site.id) ?? [])]);
        return [site.id, Math.sqrt(1 - (step.dot(full) / (step.norm() * full.norm())) ** 2)];
      }),
    );
  });
}

describe.each(['pissa', 'lora_ga'] as const)('the init %s', (init) => {
  it('begins at the base, exactly, though its factors are far from zero', async () => {
    const plain = await beginning('default');
    const lossOfBase = await withGradients(plain.initial, (loss) => loss);
    const { initial } = await beginning(init);
    expect(norm(initial[0]?.b ?? [])).toBeGreaterThan(0.5);
    expect(await withGradients(initial, (loss) => loss)).toBe(lossOfBase);
  });

  it('is nothing but the base when it is published at once', async () => {
    const untrained = { learningRate: 0, maxSteps: 1 };
    const method = init === 'pissa' ? 'pissa' : 'lora-ga';
    const published = await trainMethod(method, modelFolder, join(folder, 'untrained'), untrained);
    expect(tensorsOf(published.adapter).get('base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight')).toHaveLength(8 * 64);
    const { description } = await openModelPackage(modelFolder);
    const { lora } = resolveHyperparameters(publishedShape(published.adapter), 1, 256);
    const initial = await readAdapter(published.adapter, lora, resolveSites(lora, description));
    const [base, served] = [await tokenLosses([]), await tokenLosses(initial.map((site) => ({ ...site, changesBase: false })))];
    expect(base.length).toBeGreaterThan(50);
    expect(Math.max(...base.map((loss, index) => Math.abs(loss - (served[index] ?? Number.NaN))))).toBeLessThan(UNCHANGED_LOGPROB);
  });
});

interface PeftConfig {
  readonly r: number;
  readonly lora_alpha: number;
  readonly use_rslora: boolean;
  readonly target_modules: readonly string[];
  readonly rank_pattern: Readonly<Record<string, number>>;
}

/** The hyperparameters under which a published adapter is one to continue from. */
function publishedShape(path: string) {
  const config = JSON.parse(readFileSync(join(path, 'adapter_config.json'), 'utf8')) as PeftConfig;
  const { r, lora_alpha: alpha, use_rslora: useRslora, target_modules: targetModules, rank_pattern: rankPattern } = config;
  return { lora: { r, alpha, useRslora, targetModules, rankPattern } };
}

/** Negative log probability of every supervised token. */
async function tokenLosses(initial: readonly InitialValues[]): Promise<readonly number[]> {
  const sites = initial.map(({ target }) => ({ site: target.site.id, rank: target.rank, scale: target.scale, dora: false, origin: null }));
  const computation = await createTrainingComputation({ ...runtime, sites });
  try {
    for (const { site, part, values } of computation.parameters) {
      const from = initial.find(({ target }) => target.site.id === site);
      values.set((part === 'A' ? from?.a : from?.b) ?? []);
    }
    return examples.flatMap(({ tokenIds, supervised }) =>
      [...supervised].flatMap((flag, index) => {
        if (flag === 0) return [];
        const only = Uint8Array.from(supervised, (_, other) => (other === index ? 1 : 0));
        return [computation.evaluate([{ tokenIds, supervised: only }]).loss];
      }),
    );
  } finally {
    computation.close();
  }
}

describe('the first step', () => {
  it('of LoRA-GA changes the weights more nearly as full fine-tuning would than that of the default init, at every place', async () => {
    const [lora, ga] = [await distanceFromFull(await beginning('default')), await distanceFromFull(await beginning('lora_ga'))];
    expect(ga.size).toBe(14);
    for (const [site, distance] of ga) expect(distance).toBeLessThan(0.8 * (lora.get(site) ?? 0));
  });

  it("of PiSSA lies in the weight's principal subspaces", async () => {
    const { initial } = await beginning('pissa', ['all-linear']);
    const model = await openModelPackage(modelFolder);
    for (const { target, a, b } of initial) {
      const { inFeatures, outFeatures, module } = target.site;
      const weight = Matrix.from1DArray(outFeatures, inFeatures, [...(await model.weights.readWeight(module))]);
      const [right, left] = [Matrix.from1DArray(target.rank, inFeatures, [...a]), Matrix.from1DArray(outFeatures, target.rank, [...b])];
      // What W does to the rows of A is what s·BA does to them. (ml-matrix subtracts in place.)
      const image = weight.mmul(right.transpose());
      const size = image.norm();
      const ours = left.mmul(right.mmul(right.transpose())).mul(target.scale);
      expect(image.sub(ours).norm()).toBeLessThan(1e-3 * size);
    }
    await model.close();
  });
});
