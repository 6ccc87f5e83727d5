// Three training runs of PEFT on PyTorch, repeated through the HTTP API on the real model: losses, gradient norms, held-out loss and the
// trained factors. Each starts from PEFT's own initial adapter, which is uploaded and continued from.
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { readSafetensors, tensorToFloat32 } from '../../src/formats/index.ts';
import { fixtureAdapter } from '../support/adapter-files.ts';
import { REAL_MODEL, REAL_MODELS_DIR, realModelFolder } from '../support/real-model.ts';
import { fixturePath } from '../support/repository.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { serverOfTests } from '../support/test-server.ts';
import { HELD_OUT_LOSS, GRADIENT_NORM, TRAINING_LOSS, TRAINED_VALUES } from '../support/tolerances.ts';
import { createJob, followJob, readSteps, uploadRows, type JobAnswer, type JobStep } from '../support/training-api.ts';

const FETCH_AND_COMPILE_MS = 600_000;

interface ExpectedRun {
  readonly learning_rate: number;
  readonly loraplus_lr_ratio: number;
  readonly batch_size: number;
  readonly steps: number;
  readonly loss_per_step: readonly number[];
  readonly gradient_norm_per_step: readonly number[];
  readonly held_out_loss: number;
}

const RUNS = Object.entries(
  (JSON.parse(readFileSync(fixturePath('training/expected.json'), 'utf8')) as { cases: Record<string, ExpectedRun> }).cases,
);
const rowsOf = (name: string): string => readFileSync(fixturePath(`training/${name}.jsonl`), 'utf8');

const PARTS = ['lora_A', 'lora_B', 'lora_magnitude_vector'] as const;

describe('training as PEFT does it', () => {
  const dataDir = temporaryFolder();
  const running = serverOfTests(async () => {
    await realModelFolder();
    return { modelsDir: REAL_MODELS_DIR, dataDir, model: REAL_MODEL, maxContext: '512' };
  }, FETCH_AND_COMPILE_MS);

  describe.each(RUNS)('%s', (name, run) => {
    let job: JobAnswer;
    let steps: readonly JobStep[];
    beforeAll(async () => {
      const { api } = running;
      await api.upload(`${name}-initial`, fixtureAdapter(`training/${name}/initial`));
      const files = {
        training_file: await uploadRows(api, rowsOf('train')),
        validation_file: await uploadRows(api, rowsOf('held-out')),
      };
      const { id } = await createJob(
        api,
        { model: `${name}-initial`, suffix: name, ...files },
        {
          max_steps: run.steps,
          batch_size: run.batch_size,
          learning_rate: run.learning_rate,
          lr_scheduler: 'constant',
          warmup_ratio: 0,
          weight_decay: 0,
          max_grad_norm: 0,
          shuffle: false,
          base_precision: 'fp32',
          publish: 'last',
          evaluation_steps: run.steps,
          lora: { loraplus_lr_ratio: run.loraplus_lr_ratio },
        },
      );
      job = await followJob(api, id);
      steps = await readSteps(api, id);
    }, 240_000);

    it('has its losses and gradient norms', () => {
      expect(job.error).toBeNull();
      expect(steps.map(({ step }) => step)).toEqual(run.loss_per_step.map((_, index) => index + 1));
      for (const [index, { train_loss: loss, grad_norm: norm }] of steps.entries()) {
        expect(Math.abs(loss - (run.loss_per_step[index] ?? 0)), `loss of step ${index + 1}`).toBeLessThan(TRAINING_LOSS);
        const expected = run.gradient_norm_per_step[index] ?? 0;
        expect(Math.abs(norm - expected), `gradient norm of step ${index + 1}`).toBeLessThan(GRADIENT_NORM * expected);
      }
    });

    it('has its loss on held-out rows', () => {
      expect(Math.abs((steps.at(-1)?.valid_loss ?? 0) - run.held_out_loss)).toBeLessThan(HELD_OUT_LOSS);
    });

    it('has its trained factors', async () => {
      expect(job).toMatchObject({ fine_tuned_model: name, adapter_version: 1 });
      const response = await running.api.send('GET', `/v1/adapters/${name}/versions/1/files/adapter_model.safetensors`);
      const ours = tensorsOf(new Uint8Array(await response.arrayBuffer()));
      const theirs = tensorsOf(fixtureAdapter(`training/${name}/final`).tensors);
      const initial = tensorsOf(fixtureAdapter(`training/${name}/initial`).tensors);
      expect([...ours.keys()].toSorted()).toEqual([...theirs.keys()].toSorted());
      for (const part of PARTS.filter((candidate) => [...theirs.keys()].some((key) => key.includes(candidate)))) {
        expect(distance(ours, theirs, part)).toBeLessThan(TRAINED_VALUES);
        expect(distance(initial, theirs, part), 'the part was trained').toBeGreaterThan(0);
      }
    });
  });
});

type Tensors = ReadonlyMap<string, Float32Array>;

function tensorsOf(file: Uint8Array): Tensors {
  return new Map([...readSafetensors(file).tensors].map(([key, tensor]) => [key, tensorToFloat32(tensor)]));
}

/** Frobenius norm of the difference over all layers together, relative to that of `expected`. */
function distance(tensors: Tensors, expected: Tensors, part: string): number {
  let differences = 0;
  let squares = 0;
  for (const [key, values] of expected) {
    if (!key.includes(part)) continue;
    const own = tensors.get(key);
    values.forEach((value, index) => {
      differences += (value - (own?.[index] ?? 0)) ** 2;
      squares += value ** 2;
    });
  }
  return Math.sqrt(differences / squares);
}
