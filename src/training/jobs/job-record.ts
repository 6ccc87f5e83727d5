// What a job's row keeps as JSON text: its request, resolved, and what the trainer answered. And the row as the routes see it.
import type { Digest } from '../../core/index.ts';
import type { JobRow } from '../../storage/index.ts';
import type { Hyperparameters } from '../hyperparameters.ts';
import type { JobResult } from '../messages.ts';
import type { RowTotals, TrainingJob } from '../port.ts';

export interface JobRecord {
  readonly model: string;
  readonly trainingFile: string;
  readonly validationFile: string | null;
  readonly metadata: Readonly<Record<string, string>> | null;
  readonly hyperparameters: Hyperparameters;
  /** Where the request had them, for messages. */
  readonly choicesPath: string;
  /** Null when the job was made before its rows were all checked. */
  readonly rows: RowTotals | null;
}

/** Written before anything is published: what is published must be these bytes. */
export interface FinishedRecord {
  readonly result: JobResult;
  readonly files: { readonly config: Digest; readonly tensors: Digest };
}

export function recordOf(row: Pick<JobRow, 'request'>): JobRecord {
  return JSON.parse(row.request) as JobRecord;
}

export function finishedOf(row: Pick<JobRow, 'result'>): FinishedRecord | null {
  return row.result === null ? null : (JSON.parse(row.result) as FinishedRecord);
}

export function jobOf(row: JobRow, estimatedFinishMs: number | null): TrainingJob {
  const { model, trainingFile, validationFile, metadata, hyperparameters, rows } = recordOf(row);
  const { id, tenant, status, adapterName, createdAtMs, finishedAtMs, step, totalSteps, resultFiles } = row;
  const { errorCode, errorMessage, errorParam, publishedVersion, publishedDigest } = row;
  return {
    id,
    tenant,
    status,
    model,
    adapterName,
    trainingFile,
    validationFile,
    hyperparameters,
    metadata,
    rows,
    createdAtMs,
    finishedAtMs,
    estimatedFinishMs: status === 'running' ? estimatedFinishMs : null,
    step,
    totalSteps,
    error: errorCode === null ? null : { code: errorCode, message: errorMessage ?? '', param: errorParam },
    result: finishedOf(row)?.result ?? null,
    published: publishedVersion === null || publishedDigest === null ? null : { version: publishedVersion, digest: publishedDigest },
    resultFiles,
  };
}
