// Typed messages between the front and the trainer process. Data, weights and checkpoints travel as files below the job's folder.
import type { ErrorCode } from '../core/index.ts';
import type { Hyperparameters } from './hyperparameters.ts';

/** One attempt at a job. `fence` grows with every attempt; whatever comes with an older one is ignored by the front. */
export interface JobOrder {
  readonly jobId: string;
  readonly fence: number;
  /** Folder of the imported base model. */
  readonly modelFolder: string;
  /** The rows as they were uploaded, JSON lines; already validated by the front. */
  readonly trainingFile: string;
  readonly validationFile: string | null;
  /** Folder with PEFT's two files to continue from; null: a new adapter. */
  readonly initialAdapter: string | null;
  /** Holds `checkpoints/<step>/` and `result/`; the trainer alone writes there while it has the fence. Kept over attempts. */
  readonly jobFolder: string;
  readonly hyperparameters: Hyperparameters;
  readonly threadCount: number;
  /** Bytes that activations kept for the backward pass may take; beyond it blocks are computed again. */
  readonly memoryBudgetBytes: number;
  /** Steps between checkpoints. */
  readonly checkpointSteps: number;
}

/** One optimizer step. Loss is in nats a supervised token, over the whole step; the norm is that before clipping. */
export interface StepMetrics {
  /** From 1. */
  readonly step: number;
  readonly trainLoss: number;
  readonly learningRate: number;
  readonly gradNorm: number;
  readonly tokensPerSecond: number;
  readonly supervisedTokens: number;
  readonly validLoss?: number;
}

/** What `result/` holds when a job has finished: PEFT's two files, ready for the registry's door, and what is to be known of them. */
export interface JobResult {
  readonly steps: number;
  readonly publishedStep: number;
  readonly trainedTokens: number;
  readonly trainableParameters: number;
  readonly finalTrainLoss: number;
  readonly bestValidLoss: number | null;
  /** Relative Frobenius error of the compression to `recompressRank`, over all sites together; null: not compressed. */
  readonly recompressionError: number | null;
  readonly stoppedEarly: boolean;
}

export type ToTrainer =
  | { readonly kind: 'start'; readonly order: JobOrder }
  /** Ends the attempt after the present step with a checkpoint. */
  | { readonly kind: 'pause'; readonly jobId: string }
  | { readonly kind: 'cancel'; readonly jobId: string }
  | { readonly kind: 'ping' }
  | { readonly kind: 'shutdown' };

export type FromTrainer =
  | { readonly kind: 'ready' }
  /** `totalSteps` is known once the rows are read. `resumedFromStep` 0: from the beginning. */
  | {
      readonly kind: 'started';
      readonly jobId: string;
      readonly fence: number;
      readonly totalSteps: number;
      readonly resumedFromStep: number;
    }
  /** Also what an attempt that resumed computes again: the front keeps one record a step. */
  | { readonly kind: 'step'; readonly jobId: string; readonly fence: number; readonly metrics: StepMetrics }
  /** The checkpoint of this step is durable. */
  | {
      readonly kind: 'checkpoint';
      readonly jobId: string;
      readonly fence: number;
      readonly step: number;
      readonly validLoss: number | null;
    }
  | { readonly kind: 'finished'; readonly jobId: string; readonly fence: number; readonly result: JobResult }
  | { readonly kind: 'paused' | 'cancelled'; readonly jobId: string; readonly fence: number; readonly step: number }
  | { readonly kind: 'failed'; readonly jobId: string; readonly fence: number; readonly code: ErrorCode; readonly message: string }
  | { readonly kind: 'pong' };
