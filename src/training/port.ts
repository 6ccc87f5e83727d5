// What the front's routes see of training. Every call names the tenant; missing and foreign look the same.
import type { Readable } from 'node:stream';
import type { AdapterName, Digest, TenantId } from '../core/index.ts';
import type { HyperparameterChoices } from './defaults.ts';
import type { Hyperparameters } from './hyperparameters.ts';
import type { JobResult } from './messages.ts';

export interface TrainingFile {
  readonly id: string;
  readonly bytes: number;
  readonly createdAtMs: number;
  readonly fileName: string;
  readonly purpose: 'fine-tune' | 'fine-tune-results';
}

/** `after` is the id of the last entry of the page before; null: the first page. */
export interface PageRequest {
  readonly after: string | null;
  readonly limit: number;
}

/** Newest first. */
export interface Page<T> {
  readonly entries: readonly T[];
  readonly hasMore: boolean;
}

export interface TrainingFiles {
  /** Folder for uploads, on the same file system as the blobs. Leftovers are removed at start. */
  readonly uploadFolder: string;
  /** Consumes the file at `path`. Durable on return. */
  add(tenant: TenantId, upload: { readonly path: string; readonly fileName: string }): Promise<TrainingFile>;
  list(tenant: TenantId, page: PageRequest & { readonly purpose: TrainingFile['purpose'] | null }): Page<TrainingFile>;
  get(tenant: TenantId, id: string): TrainingFile;
  open(tenant: TenantId, id: string): { readonly file: TrainingFile; readonly stream: Readable };
  /** Waits for no one: a job that uses the file keeps its bytes until it has ended. */
  remove(tenant: TenantId, id: string): void;
}

/** A request for a job, its shape and single fields checked. */
export interface JobRequest {
  /** The base's id, or a reference to the adapter to continue from. */
  readonly model: string;
  readonly trainingFile: string;
  readonly validationFile: string | null;
  /** Name of the adapter; null: made from the job's id. */
  readonly suffix: string | null;
  readonly seed: number | null;
  readonly metadata: Readonly<Record<string, string>> | null;
  readonly choices: HyperparameterChoices;
  /** Where the choices stand in the request, for messages. */
  readonly choicesPath: string;
}

export type TrainingStatus = 'validating_files' | 'queued' | 'running' | 'paused' | 'succeeded' | 'failed' | 'cancelled';

/** What the rows of a job amount to. */
export interface RowTotals {
  readonly rows: number;
  /** After rows are cut to the longest length allowed. */
  readonly tokens: number;
  readonly supervisedTokens: number;
  readonly cutRows: number;
}

export interface TrainingJob {
  readonly id: string;
  readonly tenant: TenantId;
  readonly status: TrainingStatus;
  readonly model: string;
  readonly adapterName: AdapterName;
  readonly trainingFile: string;
  readonly validationFile: string | null;
  readonly hyperparameters: Hyperparameters;
  readonly metadata: Readonly<Record<string, string>> | null;
  readonly rows: RowTotals | null;
  readonly createdAtMs: number;
  readonly finishedAtMs: number | null;
  /** Of a running job, once two of its steps were seen. */
  readonly estimatedFinishMs: number | null;
  readonly step: number;
  readonly totalSteps: number | null;
  readonly error: { readonly code: string; readonly message: string; readonly param: string | null } | null;
  readonly result: JobResult | null;
  readonly published: { readonly version: number; readonly digest: Digest } | null;
  readonly resultFiles: readonly string[];
}

export interface TrainingEvent {
  readonly id: string;
  readonly atMs: number;
  readonly level: 'info' | 'warn' | 'error';
  readonly message: string;
  /** Of a step; null for a message. */
  readonly metrics: StepRecord | null;
}

export interface StepRecord {
  readonly step: number;
  readonly train_loss: number;
  readonly learning_rate: number;
  readonly grad_norm: number;
  readonly tokens_per_second: number;
  readonly valid_loss?: number;
}

export interface TrainingCheckpoint {
  readonly id: string;
  readonly step: number;
  readonly atMs: number;
  /** Null when the step was not recorded. */
  readonly metrics: StepRecord | null;
}

export interface FineTuningJobs {
  /**
   * Checks request and rows; nothing is queued when something is wrong. A check that takes long goes on behind a job in validating_files, which
   * then fails. Throws invalid_request with the field in `param` (for a row also its line), not_found, adapter_not_found, rate_limited.
   */
  create(tenant: TenantId, request: JobRequest): Promise<TrainingJob>;
  list(tenant: TenantId, page: PageRequest): Page<TrainingJob>;
  /** Throws not_found, as every call below. */
  get(tenant: TenantId, id: string): TrainingJob;
  events(tenant: TenantId, id: string, page: PageRequest): Page<TrainingEvent>;
  /** Oldest first, behind the event `after`, as they come, until the job has ended or `signal` aborts. */
  watch(tenant: TenantId, id: string, after: string | null, signal: AbortSignal): AsyncGenerator<TrainingEvent>;
  checkpoints(tenant: TenantId, id: string, page: PageRequest): Page<TrainingCheckpoint>;
  /** At once; a running step's work is dropped. Throws conflict for a job that has ended. */
  cancel(tenant: TenantId, id: string): TrainingJob;
  /** A running job is paused after its present step. Throws conflict for a job that has ended. */
  pause(tenant: TenantId, id: string): TrainingJob;
  /** Throws conflict unless the job is paused or about to be. */
  resume(tenant: TenantId, id: string): TrainingJob;
}
