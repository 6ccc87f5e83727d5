// Learning rates: over the steps as transformers' get_*_schedule_with_warmup have them, over the parameters as PEFT's LoRA+ optimizer does.
import type { Hyperparameters } from '../../hyperparameters.ts';
import type { TrainedParameter } from '../ports.ts';

/** Of both embedding factors under LoRA+: PEFT's `loraplus_lr_embedding`. */
const LORAPLUS_EMBEDDING_RATE = 1e-6;

export type Schedule = Pick<Hyperparameters, 'scheduler' | 'warmupRatio'> & { readonly totalSteps: number };

/**
 * Factor on the learning rate of optimizer step `step` (from 1). transformers count steps from 0, so the first step of a warm-up has rate 0.
 * Warm-up steps: ceil(totalSteps × ratio), as TrainingArguments.get_warmup_steps.
 */
export function scheduleFactor({ scheduler, warmupRatio, totalSteps }: Schedule, step: number): number {
  const done = step - 1;
  const warmup = Math.ceil(totalSteps * warmupRatio);
  if (done < warmup) return done / Math.max(1, warmup);
  const rest = Math.max(1, totalSteps - warmup);
  switch (scheduler) {
    case 'constant':
      return 1;
    case 'linear':
      return Math.max(0, (totalSteps - done) / rest);
    case 'cosine':
      return Math.max(0, 0.5 * (1 + Math.cos((Math.PI * (done - warmup)) / rest)));
  }
}

/**
 * The learning rate of a parameter before the schedule. With a ratio other than 1, B and magnitudes (create_loraplus_optimizer: `lora_B` and whatever has one
 * dimension) learn `ratio` times as fast, the factors of an embedding at their own rate; all of them decay alike.
 */
export function baseLearningRate({ part, site }: Pick<TrainedParameter, 'part' | 'site'>, rate: number, ratio: number): number {
  if (ratio === 1) return rate;
  if (site === 'embed' && part !== 'magnitude') return LORAPLUS_EMBEDDING_RATE;
  return part === 'A' ? rate : rate * ratio;
}
