// What a training job does where its tenant does not say: the one place with defaults. Why these: trainer/DECISIONS.md.
import { type Hyperparameters, type LoraInit, type LoraSpec } from './hyperparameters.ts';

/** What a request may leave out, checked already; absent takes the default. */
export type HyperparameterChoices = Partial<Omit<Hyperparameters, 'lora' | 'seed'>> & {
  /** Times the default learning rate, as OpenAI has it; `learningRate` wins over it. */
  readonly learningRateMultiplier?: number;
  readonly lora?: Partial<LoraSpec>;
};

export const DEFAULT_LEARNING_RATE = 2e-3;
const DEFAULT_RANK = 8;
const DEFAULT_MAX_SEQ_LENGTH = 1024;

/** @param maxContext tokens that the base can read: a row is never longer. */
export function resolveHyperparameters(choices: HyperparameterChoices, seed: number, maxContext: number): Hyperparameters {
  const { lora, learningRateMultiplier = 1, ...chosen } = choices;
  const patience = chosen.earlyStoppingPatience ?? 0;
  return {
    epochs: 3,
    batchSize: 8,
    gradientAccumulation: 1,
    maxSteps: null,
    learningRate: DEFAULT_LEARNING_RATE * learningRateMultiplier,
    scheduler: 'linear',
    warmupRatio: 0.05,
    weightDecay: 0,
    maxGradNorm: 1,
    maxSeqLength: Math.min(DEFAULT_MAX_SEQ_LENGTH, maxContext),
    shuffle: true,
    basePrecision: 'fp32',
    earlyStoppingPatience: 0,
    evaluationSteps: 50,
    // Who stops early wants the step before it got worse.
    publish: patience > 0 ? 'best' : 'last',
    recompressRank: null,
    ...chosen,
    seed,
    lora: resolveLora(lora ?? {}),
  };
}

function resolveLora(chosen: Partial<LoraSpec>): LoraSpec {
  const r = chosen.r ?? DEFAULT_RANK;
  const init = chosen.init ?? 'default';
  return {
    r,
    alpha: defaultAlpha(init, r),
    targetModules: ['q_proj', 'v_proj'],
    init,
    // LoRA-GA's stable scale assumes a scale of order 1 / sqrt(r) (arXiv 2407.05000, section 3.3).
    useRslora: init === 'lora_ga',
    useDora: false,
    loraplusLrRatio: 1,
    dropout: 0,
    rankPattern: {},
    ...chosen,
  };
}

/** PiSSA's own choice is a scale of 1 (arXiv 2404.02948, section 5). */
function defaultAlpha(init: LoraInit, r: number): number {
  return init === 'pissa' ? r : 2 * r;
}
