// Training jobs, their events and checkpoints in SQLite. Each verb is one transaction and is durable on return.
import type Database from 'better-sqlite3';
import type { Digest, TenantId } from '../../core/index.ts';
import type {
  ExpectedJob,
  JobCheckpointRow,
  JobContent,
  JobEventRow,
  JobRow,
  JobState,
  JobStatus,
  JobStore,
  NewJobEvent,
  PageRequest,
} from '../training-ports.ts';
import { jobStatements, STATE_COLUMNS, type JobStatements, type StoredJob } from './job-statements.ts';

export function createSqliteJobStore(database: Database.Database): JobStore {
  return new SqliteJobStore(database);
}

class SqliteJobStore implements JobStore {
  private readonly database: Database.Database;
  private readonly statements: JobStatements;

  constructor(database: Database.Database) {
    this.database = database;
    this.statements = jobStatements(database);
  }

  add({ initial, ...content }: JobContent, status: JobStatus, events: readonly NewJobEvent[]): JobRow {
    return this.atomically(() => {
      const stored = { ...content, initialConfig: initial?.config ?? null, initialTensors: initial?.tensors ?? null, status };
      this.statements.insertJob.run(stored);
      this.append(content.id, events);
      return this.existing(content.id);
    });
  }

  get(tenant: TenantId, id: string): JobRow | null {
    const stored = this.statements.selectOwn.get({ tenant, id });
    return stored === undefined ? null : readJob(stored);
  }

  list(tenant: TenantId, { after, limit }: PageRequest): readonly JobRow[] | null {
    const before = after === null ? null : this.statements.selectNumber.get({ tenant, id: after });
    return before === undefined ? null : this.statements.selectPage.all({ tenant, before, limit }).map(readJob);
  }

  withStatus(statuses: readonly JobStatus[]): readonly JobRow[] {
    return this.statements.selectByStatus.all({ statuses: JSON.stringify(statuses) }).map(readJob);
  }

  claim(baseDigest: Digest, nowMs: number, leaseUntilMs: number): JobRow | null {
    return this.atomically(() => {
      const id = this.statements.selectNext.get({ baseDigest });
      if (id === undefined) return null;
      this.statements.claim.run({ id, nowMs, leaseUntilMs });
      return this.existing(id);
    });
  }

  change(
    id: string,
    { statuses, fence }: ExpectedJob,
    changes: Partial<JobState>,
    { events = [], checkpoint, files = [] }: Parameters<JobStore['change']>[3] = {},
  ): JobRow | null {
    return this.atomically(() => {
      const stored = this.statements.selectJob.get({ id });
      if (stored === undefined) return null;
      const present = readJob(stored);
      if (!statuses.includes(present.status) || (fence !== undefined && fence !== present.fence)) return null;
      if (Object.keys(changes).length > 0) this.statements.updateState.run({ id, ...storedState({ ...present, ...changes }) });
      this.append(id, events);
      if (checkpoint !== undefined) this.statements.putCheckpoint.run({ job: id, ...checkpoint });
      for (const file of files) this.statements.insertFile.run(file);
      return this.existing(id);
    });
  }

  events(id: string, after: number, limit: number): readonly JobEventRow[] {
    return this.statements.selectEvents.all({ job: id, after, limit });
  }

  latestEvents(id: string, before: number | null, limit: number): readonly JobEventRow[] {
    return this.statements.selectLatestEvents.all({ job: id, before, limit });
  }

  metrics(id: string): readonly JobEventRow[] {
    return this.statements.selectMetrics.all({ job: id });
  }

  checkpoints(id: string, before: number | null, limit: number): readonly JobCheckpointRow[] {
    return this.statements.selectCheckpoints.all({ job: id, before, limit });
  }

  private existing(id: string): JobRow {
    const stored = this.statements.selectJob.get({ id });
    if (stored === undefined) throw new Error(`job store: ${id} was written but is not there`);
    return readJob(stored);
  }

  private append(job: string, events: readonly NewJobEvent[]): void {
    for (const event of events) {
      const isReplaced = event.step !== null && this.statements.replaceStep.run({ job, ...event }).changes === 1;
      if (!isReplaced) this.statements.insertEvent.run({ job, ...event });
    }
  }

  private atomically<Result>(work: () => Result): Result {
    return this.database.transaction(work).immediate();
  }
}

function readJob({ initialConfig, initialTensors, interrupted, resultFiles, ...stored }: StoredJob): JobRow {
  // The columns are those of the row's type; SQLite's own types are checked by the table.
  const row = stored as unknown as Omit<JobRow, 'initial' | 'interrupted' | 'resultFiles'>;
  const initial = initialConfig === null ? null : ({ config: initialConfig, tensors: initialTensors } as JobRow['initial']);
  return { ...row, initial, interrupted: interrupted === 1, resultFiles: JSON.parse(String(resultFiles)) as readonly string[] };
}

function storedState(state: JobState): StoredJob {
  const plain = { ...state, interrupted: state.interrupted ? 1 : 0, resultFiles: JSON.stringify(state.resultFiles) };
  return Object.fromEntries(Object.entries(plain).filter(([field]) => Object.hasOwn(STATE_COLUMNS, field)));
}
