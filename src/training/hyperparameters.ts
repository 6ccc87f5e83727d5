// What a training job does, resolved: every default is filled in by the front, so the trainer decides nothing.

export const LORA_INITS = ['default', 'gaussian', 'pissa', 'lora_ga'] as const;
export type LoraInit = (typeof LORA_INITS)[number];

export interface LoraSpec {
  readonly r: number;
  readonly alpha: number;
  /** Last components of module paths (`q_proj`, …, `embed_tokens`, `lm_head`), or `all-linear`: the layers' linears. */
  readonly targetModules: readonly string[];
  readonly init: LoraInit;
  /** Scale alpha / sqrt(r) instead of alpha / r (arXiv 2312.03732). */
  readonly useRslora: boolean;
  readonly useDora: boolean;
  /** Learning rate of B over that of A (LoRA+, arXiv 2402.12354); 1: the same. */
  readonly loraplusLrRatio: number;
  /** Probability that an input channel of A is dropped, 0 to below 1. */
  readonly dropout: number;
  /** Literal suffix of a module path → rank, where it is not r. */
  readonly rankPattern: Readonly<Record<string, number>>;
}

export interface Hyperparameters {
  readonly epochs: number;
  /** Rows of one micro-batch. */
  readonly batchSize: number;
  /** Micro-batches of one optimizer step. */
  readonly gradientAccumulation: number;
  /** Optimizer steps; null: as many as `epochs` give. */
  readonly maxSteps: number | null;
  readonly learningRate: number;
  readonly scheduler: 'constant' | 'linear' | 'cosine';
  /** Share of the steps in which the learning rate grows from 0. */
  readonly warmupRatio: number;
  readonly weightDecay: number;
  /** Largest norm of the gradient over all trained tensors; 0: not clipped. */
  readonly maxGradNorm: number;
  /** Tokens of a row; longer rows are cut at their end. */
  readonly maxSeqLength: number;
  /** Rows in a new order each epoch; else in the order of the file. */
  readonly shuffle: boolean;
  readonly basePrecision: 'fp32' | 'int8';
  /** Evaluations without a better validation loss before the job stops; 0: never. Needs a validation file. */
  readonly earlyStoppingPatience: number;
  /** Steps between evaluations on the validation file. */
  readonly evaluationSteps: number;
  readonly publish: 'last' | 'best';
  /** Rank that an adapter of a changing init (PiSSA, LoRA-GA) is compressed to after training; null: not. */
  readonly recompressRank: number | null;
  /** Unsigned 32-bit: initial values, order of rows, dropout. */
  readonly seed: number;
  readonly lora: LoraSpec;
}
