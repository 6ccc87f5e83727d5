// The adapters of test/fixtures/trained-adapters: every method of the trainer, a few steps on tiny-llama, the same each time.
import { join } from 'node:path';
import type { HyperparameterChoices } from '../../src/training/defaults.ts';
import { fixturePath } from './repository.ts';
import { type FinishedJob, jobOrder, trainedJob } from './training-job.ts';

const STEPS: HyperparameterChoices = { batchSize: 4, maxSteps: 12, learningRate: 0.02, warmupRatio: 0 };
const LINEARS = { r: 4, alpha: 8, targetModules: ['all-linear'] };

export const METHODS: Readonly<Record<string, HyperparameterChoices>> = {
  lora: { ...STEPS, lora: LINEARS },
  'embedding-head': { ...STEPS, lora: { ...LINEARS, targetModules: ['embed_tokens', 'q_proj', 'lm_head'], init: 'gaussian' } },
  'rslora-patterns': { ...STEPS, lora: { ...LINEARS, useRslora: true, rankPattern: { 'layers.1.mlp.down_proj': 2, v_proj: 3 } } },
  dora: { ...STEPS, lora: { ...LINEARS, useDora: true } },
  loraplus: { ...STEPS, learningRate: 2e-3, lora: { ...LINEARS, loraplusLrRatio: 16, dropout: 0.05 } },
  pissa: { ...STEPS, lora: { ...LINEARS, init: 'pissa' } },
  'pissa-dora': { ...STEPS, lora: { ...LINEARS, init: 'pissa', useDora: true, targetModules: ['q_proj', 'v_proj', 'lm_head'] } },
  'lora-ga': { ...STEPS, lora: { ...LINEARS, init: 'lora_ga' } },
  'lora-ga-patterns': { ...STEPS, lora: { ...LINEARS, init: 'lora_ga', rankPattern: { q_proj: 2 } } },
  'lora-ga-recompressed': { ...STEPS, recompressRank: 6, lora: { ...LINEARS, init: 'lora_ga' } },
};

export function trainMethod(name: string, modelFolder: string, folder: string, changes: HyperparameterChoices = {}): Promise<FinishedJob> {
  const trainingFile = fixturePath('trained-adapters/rows.jsonl');
  return trainedJob(jobOrder({ modelFolder, trainingFile, jobFolder: join(folder, name) }, { ...METHODS[name], ...changes }));
}
