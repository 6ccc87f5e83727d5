// The llama family as one record: what config.json and GGUF metadata are turned into. Bounds hold back absurd files before memory is taken.
import { AppError } from '../../core/index.ts';

export type RopeScaling =
  | { readonly kind: 'none' }
  /** Positions divided by `factor`. */
  | { readonly kind: 'linear'; readonly factor: number }
  /** Llama 3.1: low frequencies divided by `factor`, high ones kept, smoothly between. */
  | {
      readonly kind: 'llama3';
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalMaxContext: number;
    }
  /** One divisor a frequency, headSize / 2 of them (GGUF's `rope_freqs.weight`). */
  | { readonly kind: 'divisors'; readonly divisors: readonly number[] };

export interface LlamaConfig {
  readonly family: 'llama';
  readonly vocabularySize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layerCount: number;
  readonly headCount: number;
  readonly kvHeadCount: number;
  readonly headSize: number;
  /** Positions that the model was made for. */
  readonly maxContext: number;
  readonly rmsEpsilon: number;
  readonly ropeTheta: number;
  readonly ropeScaling: RopeScaling;
  /** The head shares the embedding's weight. */
  readonly tiedHead: boolean;
  /** q, k, v and o have a bias. */
  readonly attentionBias: boolean;
  /** gate, up and down have a bias. */
  readonly mlpBias: boolean;
  /** A token sees itself and the tokens before it, this many in all; null: every token before it. */
  readonly slidingWindow: number | null;
}

interface Bounds {
  readonly least: number;
  readonly most: number;
}

const COUNTS: Readonly<
  Record<
    'vocabularySize' | 'hiddenSize' | 'intermediateSize' | 'layerCount' | 'headCount' | 'kvHeadCount' | 'headSize' | 'maxContext',
    Bounds
  >
> = {
  vocabularySize: { least: 2, most: 1 << 20 },
  hiddenSize: { least: 8, most: 1 << 16 },
  intermediateSize: { least: 8, most: 1 << 18 },
  layerCount: { least: 1, most: 512 },
  headCount: { least: 1, most: 1024 },
  kvHeadCount: { least: 1, most: 1024 },
  headSize: { least: 16, most: 1024 },
  maxContext: { least: 1, most: 1 << 24 },
};

/** GroupQueryAttention's rotary embedding takes only multiples. */
const HEAD_SIZE_STEP = 16;

/** The config itself. @throws AppError `usage` that names the first number which is out of bounds or does not fit the others. */
export function checkedConfig(config: LlamaConfig): LlamaConfig {
  for (const [name, { least, most }] of Object.entries(COUNTS)) {
    const value = config[name as keyof typeof COUNTS];
    if (!Number.isInteger(value) || value < least || value > most)
      refuseModel(`${name} is ${value}, expected an integer from ${least} to ${most}`);
  }
  if (config.headCount % config.kvHeadCount !== 0)
    refuseModel(`has ${config.headCount} heads and ${config.kvHeadCount} key-value heads, expected a multiple`);
  if (config.headSize % HEAD_SIZE_STEP !== 0) refuseModel(`headSize is ${config.headSize}, expected a multiple of ${HEAD_SIZE_STEP}`);
  if (config.slidingWindow !== null && (!Number.isInteger(config.slidingWindow) || config.slidingWindow < 1))
    refuseModel(`slidingWindow is ${config.slidingWindow}, expected a positive integer`);
  checkNumber('rmsEpsilon', config.rmsEpsilon, 0, 0.1);
  checkNumber('ropeTheta', config.ropeTheta, 1, 1e12);
  checkScaling(config);
  return config;
}

function checkScaling({ ropeScaling, headSize }: LlamaConfig): void {
  switch (ropeScaling.kind) {
    case 'none':
      return;
    case 'linear':
      return checkNumber('factor of the rope scaling', ropeScaling.factor, 0, 1e6);
    case 'llama3':
      checkNumber('factor of the rope scaling', ropeScaling.factor, 0, 1e6);
      checkNumber('low frequency factor', ropeScaling.lowFreqFactor, 0, 1e6);
      checkNumber('high frequency factor', ropeScaling.highFreqFactor, ropeScaling.lowFreqFactor, 1e6);
      return checkNumber('original context', ropeScaling.originalMaxContext, 0, COUNTS.maxContext.most);
    case 'divisors':
      if (ropeScaling.divisors.length !== headSize / 2)
        refuseModel(`has ${ropeScaling.divisors.length} rope divisors, expected ${headSize / 2}`);
      for (const divisor of ropeScaling.divisors) checkNumber('rope divisor', divisor, 0, 1e6);
  }
}

/** Above `least`, at most `most`. */
function checkNumber(name: string, value: number, least: number, most: number): void {
  if (!Number.isFinite(value) || value <= least || value > most)
    refuseModel(`${name} is ${value}, expected a number above ${least}, at most ${most}`);
}

/** Refuses a base model: `problem` says what came and what was expected. */
export function refuseModel(problem: string): never {
  throw new AppError('usage', `base model: ${problem}`);
}
