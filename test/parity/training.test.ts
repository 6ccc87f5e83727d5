// Ten steps on the real model against PEFT on PyTorch: losses, gradient norms, the loss on held-out rows, and the adapter afterwards.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { readSafetensors, tensorToFloat32 } from '../../src/formats/index.ts';
import { realModelFolder } from '../support/real-model.ts';
import { fixturePath } from '../support/repository.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { GRADIENT_NORM, HELD_OUT_LOSS, TRAINED_VALUES, TRAINING_LOSS } from '../support/tolerances.ts';
import { type FinishedJob, jobOrder, trainedJob } from '../support/training-job.ts';

interface TrainingCase {
  readonly config: {
    readonly r: number;
    readonly lora_alpha: number;
    readonly target_modules: readonly string[];
    readonly use_dora?: boolean;
  };
  readonly learning_rate: number;
  readonly loraplus_lr_ratio: number;
  readonly batch_size: number;
  readonly steps: number;
  readonly loss_per_step: readonly number[];
  readonly gradient_norm_per_step: readonly number[];
  readonly held_out_loss: number;
}

const { cases } = JSON.parse(readFileSync(fixturePath('training/expected.json'), 'utf8')) as { cases: Record<string, TrainingCase> };
const PARTS = ['lora_A', 'lora_B', 'lora_magnitude_vector'];

/** Values of one part over all layers together, in the order of their names. */
function valuesOf(folder: string, part: string): readonly number[] {
  const { tensors } = readSafetensors(readFileSync(join(folder, 'adapter_model.safetensors')));
  const names = [...tensors.keys()].filter((name) => name.includes(part)).toSorted();
  return names.flatMap((name) => [...tensorToFloat32(tensors.get(name) ?? { dtype: 'F32', bytes: new Uint8Array() })]);
}

function relativeError(found: readonly number[], wanted: readonly number[]): number {
  if (found.length !== wanted.length) return Number.NaN;
  return Math.sqrt(squares(found.map((value, index) => value - (wanted[index] ?? Number.NaN))) / squares(wanted));
}

function squares(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value * value, 0);
}

describe.each(Object.keys(cases))('ten steps of %s', (name) => {
  const wanted = cases[name];
  if (wanted === undefined) throw new Error(`no case ${name}`);
  const folder = temporaryFolder();
  let job: FinishedJob;

  beforeAll(async () => {
    const { r, lora_alpha: alpha, target_modules: targetModules, use_dora: useDora = false } = wanted.config;
    const place = {
      modelFolder: await realModelFolder(),
      trainingFile: fixturePath('training/train.jsonl'),
      validationFile: fixturePath('training/held-out.jsonl'),
      initialAdapter: fixturePath(`training/${name}/initial`),
      jobFolder: join(folder, name),
    };
    const choices = {
      batchSize: wanted.batch_size,
      maxSteps: wanted.steps,
      learningRate: wanted.learning_rate,
      scheduler: 'constant',
      warmupRatio: 0,
      maxGradNorm: 0,
      shuffle: false,
      evaluationSteps: wanted.steps,
      lora: { r, alpha, targetModules, useDora, loraplusLrRatio: wanted.loraplus_lr_ratio },
    } as const;
    job = await trainedJob(jobOrder(place, choices));
  }, 300_000);

  it('have the losses and gradient norms of PEFT', () => {
    expect(job.steps).toHaveLength(wanted.steps);
    for (const [index, { trainLoss, gradNorm }] of job.steps.entries()) {
      expect(Math.abs(trainLoss - (wanted.loss_per_step[index] ?? Number.NaN))).toBeLessThan(TRAINING_LOSS);
      expect(Math.abs(gradNorm / (wanted.gradient_norm_per_step[index] ?? Number.NaN) - 1)).toBeLessThan(GRADIENT_NORM);
    }
  });

  it('leave the loss of PEFT on rows that were not trained on', () => {
    expect(Math.abs((job.result.bestValidLoss ?? Number.NaN) - wanted.held_out_loss)).toBeLessThan(HELD_OUT_LOSS);
  });

  it.each(PARTS.slice(0, wanted.config.use_dora === true ? 3 : 2))('leave the adapter of PEFT: %s', (part) => {
    expect(relativeError(valuesOf(job.adapter, part), valuesOf(fixturePath(`training/${name}/final`), part))).toBeLessThan(TRAINED_VALUES);
  });
});
