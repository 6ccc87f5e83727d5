// The storage port of training: uploaded files, jobs, their events and checkpoints. What a state means, and which may follow, is not known here.
import type { AdapterName, Digest, TenantId } from '../core/index.ts';

export interface FileRow {
  readonly id: string;
  readonly tenant: TenantId;
  readonly digest: Digest;
  readonly bytes: number;
  readonly fileName: string;
  readonly purpose: 'fine-tune' | 'fine-tune-results';
  readonly createdAtMs: number;
}

/** A page of a list that is newest first; `after` is the id of the last entry of the page before. */
export interface PageRequest {
  readonly after: string | null;
  readonly limit: number;
}

export interface FileStore {
  add(row: FileRow): void;
  get(tenant: TenantId, id: string): FileRow | null;
  /** Newest first. Null for an `after` that the tenant does not have. */
  list(tenant: TenantId, page: PageRequest & { readonly purpose: FileRow['purpose'] | null }): readonly FileRow[] | null;
  remove(tenant: TenantId, id: string): boolean;
}

export const JOB_STATUSES = ['validating_files', 'queued', 'running', 'paused', 'succeeded', 'failed', 'cancelled'] as const;
export type JobStatus = (typeof JOB_STATUSES)[number];

/** A job in one of these needs no bytes any more, and never changes again. */
export const ENDED_STATUSES: readonly JobStatus[] = ['succeeded', 'failed', 'cancelled'];

/** What is known when a job is made, and never changes. */
export interface JobContent {
  readonly id: string;
  readonly tenant: TenantId;
  readonly adapterName: AdapterName;
  /** Digest of the base that it was validated against. */
  readonly baseDigest: Digest;
  readonly trainingDigest: Digest;
  readonly validationDigest: Digest | null;
  /** PEFT's two files of the adapter to continue from. */
  readonly initial: { readonly config: Digest; readonly tensors: Digest } | null;
  /** What the room above keeps with it, as JSON text. */
  readonly request: string;
  readonly createdAtMs: number;
}

/** What changes while a job lives. */
export interface JobState {
  readonly status: JobStatus;
  /** What was asked of a running job and has not happened yet. */
  readonly wanted: 'run' | 'pause';
  /** Counts attempts; whoever writes for an attempt names it, and a write of an older one changes nothing. */
  readonly fence: number;
  /** Attempts that died since the last progress. */
  readonly deaths: number;
  /** Until when the present attempt may be silent; null when there is none. */
  readonly leaseUntilMs: number | null;
  /** Cut off by a death or restart: goes on before others. */
  readonly interrupted: boolean;
  readonly totalSteps: number | null;
  readonly step: number;
  readonly startedAtMs: number | null;
  readonly finishedAtMs: number | null;
  /** Trained and waiting to be published: what the trainer answered, as JSON text. Kept afterwards. */
  readonly result: string | null;
  readonly errorCode: string | null;
  readonly errorMessage: string | null;
  readonly errorParam: string | null;
  /** The published version; null until then. */
  readonly publishedVersion: number | null;
  readonly publishedDigest: Digest | null;
  readonly resultFiles: readonly string[];
}

export interface JobRow extends JobContent, JobState {
  /** Order of claims over all jobs; 0 before the first. */
  readonly claimNumber: number;
}

export interface NewJobEvent {
  readonly atMs: number;
  readonly level: 'info' | 'warn' | 'error';
  readonly message: string;
  /** A metrics event has a step; a job has one event a step, and a later one takes the place of the former. */
  readonly step: number | null;
  /** JSON text. */
  readonly data: string | null;
}

export interface JobEventRow extends NewJobEvent {
  /** Counts from 1 in each job. */
  readonly number: number;
}

export interface JobCheckpointRow {
  readonly step: number;
  readonly atMs: number;
  readonly validLoss: number | null;
}

/** What a change may only be applied to. */
export interface ExpectedJob {
  readonly statuses: readonly JobStatus[];
  /** The attempt that writes; absent: whoever holds it. */
  readonly fence?: number;
}

export interface JobStore {
  add(content: JobContent, status: JobStatus, events: readonly NewJobEvent[]): JobRow;
  get(tenant: TenantId, id: string): JobRow | null;
  /** Newest first. Null for an `after` that the tenant does not have. */
  list(tenant: TenantId, page: PageRequest): readonly JobRow[] | null;
  /** Of every tenant, oldest first. */
  withStatus(statuses: readonly JobStatus[]): readonly JobRow[];
  /**
   * Takes the next queued job of this base: an interrupted one first, then the oldest of the tenant whose turn was longest ago. It is running afterwards,
   * under a new fence. Null when none is queued.
   */
  claim(baseDigest: Digest, nowMs: number, leaseUntilMs: number): JobRow | null;
  /** Compare and set with its events in one transaction: null, and nothing is written, when the job is not as expected. */
  change(
    id: string,
    expected: ExpectedJob,
    changes: Partial<JobState>,
    records?: { readonly events?: readonly NewJobEvent[]; readonly checkpoint?: JobCheckpointRow; readonly files?: readonly FileRow[] },
  ): JobRow | null;
  /** In the order of their numbers, after `after` (0: from the beginning). */
  events(id: string, after: number, limit: number): readonly JobEventRow[];
  /** Newest first, below `before` (null: from the newest). */
  latestEvents(id: string, before: number | null, limit: number): readonly JobEventRow[];
  /** Every metrics event, by step. */
  metrics(id: string): readonly JobEventRow[];
  /** Newest first, below step `before` (null: from the newest). */
  checkpoints(id: string, before: number | null, limit: number): readonly JobCheckpointRow[];
}
