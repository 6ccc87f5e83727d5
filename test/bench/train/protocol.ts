// What the sides of the training benchmark are asked: steps of AdamW over given rows, forward and backward included.

export interface TrainOptions {
  readonly modelFile: string;
  readonly modelFolder: string;
  readonly threadCount: number;
}

export interface TrainQuestion {
  readonly kind: 'train';
  /** `q,v` of every layer, or all of its linears. */
  readonly sites: 'qv' | 'all';
  readonly rank: number;
  /** Micro-batches, one optimizer step each, in order. A label of -100 is not supervised, as in PyTorch. */
  readonly batches: readonly (readonly { readonly tokenIds: readonly number[]; readonly labels: readonly number[] }[])[];
  /** Steps before the timed ones. */
  readonly warmUp: number;
}

export interface TrainAnswer {
  /** Of each timed step. */
  readonly milliseconds: readonly number[];
  /** Mean loss of each step, warm-up included, in nats a supervised token. */
  readonly losses: readonly number[];
  /** Largest resident memory of the process so far. */
  readonly peakBytes: number;
}

export const UNSUPERVISED = -100;
