// Between the training loop and what computes: the loop knows no graph and no session, the computation knows no optimizer and no job.
import type { Hyperparameters } from '../hyperparameters.ts';

/** One row as tokens. `supervised[i]` says whether the loss counts the prediction of `tokenIds[i]` (never for i = 0). */
export interface TrainingExample {
  readonly tokenIds: Int32Array;
  readonly supervised: Uint8Array;
}

/** A place of the base that is trained, ids as in the base's description. */
export interface TrainedSite {
  readonly site: string;
  readonly rank: number;
  /** s of y = Wx + s·B(Ax). */
  readonly scale: number;
  readonly dora: boolean;
  /** The frozen (A0, B0) of y = Wx + s·(BA − B0A0)x, for inits that would change the base; shapes as A and B. */
  readonly origin: { readonly a: Float32Array; readonly b: Float32Array } | null;
}

/**
 * A trained tensor in PEFT's layout. Linear: A [rank, in], B [out, rank], magnitude [out]. Embedding: A [rank, vocabulary], B [hidden, rank].
 */
export interface TrainedParameter {
  readonly site: string;
  readonly part: 'A' | 'B' | 'magnitude';
  readonly shape: readonly number[];
  /** Read in place by every run; the optimizer writes it between runs. */
  readonly values: Float32Array;
  /** Sum of the gradients since `zeroGradients`. */
  readonly gradient: Float32Array;
}

export interface Dropout {
  readonly rate: number;
  readonly seed: number;
  /** Micro-batch number since the beginning of the job: masks depend on (seed, number, site) alone. */
  readonly microBatch: number;
}

/** What one run adds up: the loss is the sum over supervised tokens, in nats. */
export interface LossSum {
  readonly loss: number;
  readonly supervisedTokens: number;
}

export interface ComputationOptions {
  /** Of another ONNX Runtime than the bundled one. */
  readonly libraryPath?: string;
  readonly modelFolder: string;
  readonly sites: readonly TrainedSite[];
  readonly basePrecision: Hyperparameters['basePrecision'];
  readonly threadCount: number;
  readonly memoryBudgetBytes: number;
}

/** The base, its trained sites and their gradients on ONNX Runtime. Owns every native object; synchronous, one micro-batch a call. */
export interface TrainingComputation {
  /** In the order of evaluation. */
  readonly parameters: readonly TrainedParameter[];
  zeroGradients(): void;
  /** Adds the gradient of (sum of losses × lossScale) to every parameter. Examples of a batch never see each other. */
  accumulate(examples: readonly TrainingExample[], lossScale: number, dropout: Dropout | null): LossSum;
  evaluate(examples: readonly TrainingExample[]): LossSum;
  close(): void;
}

/** Gradients of the frozen weights themselves, for LoRA-GA: mean loss over the examples, dL/dW [out, in] of one site after the other. */
export interface WeightGradients {
  forEachSite(
    examples: readonly TrainingExample[],
    sites: readonly string[],
    take: (site: string, gradient: Float32Array) => void,
  ): LossSum;
  close(): void;
}
