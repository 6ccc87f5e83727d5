// The SQL of the job store, prepared once. Columns and their names in rows are one table, so that no statement forgets one.
import type Database from 'better-sqlite3';
import type { JobCheckpointRow, JobEventRow, JobState } from '../training-ports.ts';
import { insertFileStatement } from './sqlite-file-store.ts';

/** A job as its row holds it. */
export type StoredJob = Readonly<Record<string, string | number | null>>;

const CONTENT_COLUMNS = {
  id: 'id',
  tenant: 'tenant',
  adapterName: 'adapter_name',
  baseDigest: 'base_digest',
  trainingDigest: 'training_digest',
  validationDigest: 'validation_digest',
  initialConfig: 'initial_config',
  initialTensors: 'initial_tensors',
  request: 'request',
  createdAtMs: 'created_at_ms',
} as const;

export const STATE_COLUMNS = {
  status: 'status',
  wanted: 'wanted',
  fence: 'fence',
  deaths: 'deaths',
  leaseUntilMs: 'lease_until_ms',
  interrupted: 'interrupted',
  totalSteps: 'total_steps',
  step: 'step',
  startedAtMs: 'started_at_ms',
  finishedAtMs: 'finished_at_ms',
  result: 'result',
  errorCode: 'error_code',
  errorMessage: 'error_message',
  errorParam: 'error_param',
  publishedVersion: 'published_version',
  publishedDigest: 'published_digest',
  resultFiles: 'result_files',
} as const satisfies Record<keyof JobState, string>;

const COLUMNS = Object.entries({ ...CONTENT_COLUMNS, ...STATE_COLUMNS, claimNumber: 'claim_number' })
  .map(([field, column]) => `${column} AS ${field}`)
  .join(', ');

const EVENT_COLUMNS = 'number, at_ms AS atMs, level, message, step, data';
const CHECKPOINT_COLUMNS = 'step, at_ms AS atMs, valid_loss AS validLoss';

type Before = { readonly job: string; readonly before: number | null; readonly limit: number };

export type JobStatements = ReturnType<typeof jobStatements>;

export function jobStatements(database: Database.Database) {
  return { ...jobQueries(database), ...jobChanges(database), ...recordStatements(database), insertFile: insertFileStatement(database) };
}

function jobQueries(database: Database.Database) {
  return {
    selectJob: database.prepare<[{ id: string }], StoredJob>(`SELECT ${COLUMNS} FROM jobs WHERE id = @id`),
    selectOwn: database.prepare<[{ tenant: string; id: string }], StoredJob>(
      `SELECT ${COLUMNS} FROM jobs WHERE tenant = @tenant AND id = @id`,
    ),
    selectNumber: database
      .prepare<[{ tenant: string; id: string }], number>('SELECT number FROM jobs WHERE tenant = @tenant AND id = @id')
      .pluck(),
    selectPage: database.prepare<[{ tenant: string; before: number | null; limit: number }], StoredJob>(
      `SELECT ${COLUMNS} FROM jobs WHERE tenant = @tenant AND (@before IS NULL OR number < @before) ORDER BY number DESC LIMIT @limit`,
    ),
    selectByStatus: database.prepare<[{ statuses: string }], StoredJob>(
      `SELECT ${COLUMNS} FROM jobs WHERE status IN (SELECT value FROM json_each(@statuses)) ORDER BY number`,
    ),
    selectNext: database
      .prepare<[{ baseDigest: string }], string>(
        `SELECT id FROM jobs AS next WHERE status = 'queued' AND base_digest = @baseDigest
         ORDER BY interrupted DESC, (SELECT max(claim_number) FROM jobs AS earlier WHERE earlier.tenant = next.tenant), number LIMIT 1`,
      )
      .pluck(),
  };
}

function jobChanges(database: Database.Database) {
  const contentFields = Object.keys(CONTENT_COLUMNS);
  return {
    insertJob: database.prepare<[StoredJob]>(
      `INSERT INTO jobs (${Object.values(CONTENT_COLUMNS).join(', ')}, status)
       VALUES (${contentFields.map((field) => `@${field}`).join(', ')}, @status)`,
    ),
    claim: database.prepare<[{ id: string; nowMs: number; leaseUntilMs: number }]>(
      `UPDATE jobs SET status = 'running', fence = fence + 1, lease_until_ms = @leaseUntilMs, interrupted = 0,
         started_at_ms = coalesce(started_at_ms, @nowMs), claim_number = (SELECT max(claim_number) + 1 FROM jobs)
       WHERE id = @id`,
    ),
    updateState: database.prepare<[StoredJob]>(
      `UPDATE jobs SET ${Object.entries(STATE_COLUMNS)
        .map(([field, column]) => `${column} = @${field}`)
        .join(', ')} WHERE id = @id`,
    ),
  };
}

function recordStatements(database: Database.Database) {
  return {
    insertEvent: database.prepare<[Omit<JobEventRow, 'number'> & { job: string }]>(
      `INSERT INTO job_events (job, number, at_ms, level, message, step, data)
       SELECT @job, coalesce(max(number), 0) + 1, @atMs, @level, @message, @step, @data FROM job_events WHERE job = @job`,
    ),
    replaceStep: database.prepare<[Omit<JobEventRow, 'number'> & { job: string }]>(
      `UPDATE job_events SET level = @level, message = @message, data = @data, at_ms = @atMs WHERE job = @job AND step = @step`,
    ),
    putCheckpoint: database.prepare<[JobCheckpointRow & { job: string }]>(
      `INSERT INTO job_checkpoints (job, step, at_ms, valid_loss) VALUES (@job, @step, @atMs, @validLoss)
       ON CONFLICT (job, step) DO UPDATE SET valid_loss = excluded.valid_loss`,
    ),
    selectEvents: database.prepare<[{ job: string; after: number; limit: number }], JobEventRow>(
      `SELECT ${EVENT_COLUMNS} FROM job_events WHERE job = @job AND number > @after ORDER BY number LIMIT @limit`,
    ),
    selectLatestEvents: database.prepare<[Before], JobEventRow>(
      `SELECT ${EVENT_COLUMNS} FROM job_events WHERE job = @job AND (@before IS NULL OR number < @before) ORDER BY number DESC LIMIT @limit`,
    ),
    selectMetrics: database.prepare<[{ job: string }], JobEventRow>(
      `SELECT ${EVENT_COLUMNS} FROM job_events WHERE job = @job AND step IS NOT NULL ORDER BY step`,
    ),
    selectCheckpoints: database.prepare<[Before], JobCheckpointRow>(
      `SELECT ${CHECKPOINT_COLUMNS} FROM job_checkpoints WHERE job = @job AND (@before IS NULL OR step < @before)
       ORDER BY step DESC LIMIT @limit`,
    ),
  };
}
