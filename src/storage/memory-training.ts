// Files and jobs of training in memory, for the memory driver.
import type { Digest, TenantId } from '../core/index.ts';
import {
  ENDED_STATUSES,
  type FileRow,
  type FileStore,
  type JobCheckpointRow,
  type JobEventRow,
  type JobRow,
  type JobStore,
  type NewJobEvent,
} from './training-ports.ts';

interface Owned {
  readonly id: string;
  readonly tenant: TenantId;
}

/** A page of a list in the order of arrival, newest first; null for an unknown `after`. */
function pageOf<Row extends Owned>(rows: readonly Row[], tenant: TenantId, after: string | null, limit: number): readonly Row[] | null {
  const own = rows.filter((row) => row.tenant === tenant).toReversed();
  const start = after === null ? 0 : own.findIndex((row) => row.id === after) + 1;
  return after !== null && start === 0 ? null : own.slice(start, start + limit);
}

export class MemoryFileStore implements FileStore {
  rows: readonly FileRow[] = [];

  add(row: FileRow): void {
    if (this.rows.some(({ id }) => id === row.id)) throw new Error('file store: the id is taken');
    this.rows = [...this.rows, row];
  }

  get(tenant: TenantId, id: string): FileRow | null {
    return this.rows.find((row) => row.tenant === tenant && row.id === id) ?? null;
  }

  list(tenant: TenantId, { after, limit, purpose }: Parameters<FileStore['list']>[1]): readonly FileRow[] | null {
    const all = pageOf(this.rows, tenant, after, Infinity);
    return all?.filter((row) => purpose === null || row.purpose === purpose).slice(0, limit) ?? null;
  }

  remove(tenant: TenantId, id: string): boolean {
    const found = this.get(tenant, id) !== null;
    if (found) this.rows = this.rows.filter((row) => row.id !== id);
    return found;
  }
}

interface MemoryJob {
  row: JobRow;
  events: readonly JobEventRow[];
  readonly checkpoints: Map<number, JobCheckpointRow>;
}

export class MemoryJobStore implements JobStore {
  private readonly entries = new Map<string, MemoryJob>();
  private readonly files: FileStore;

  constructor(files: FileStore) {
    this.files = files;
  }

  add(content: Parameters<JobStore['add']>[0], status: JobRow['status'], events: readonly NewJobEvent[]): JobRow {
    if (this.entries.has(content.id)) throw new Error('job store: the id is taken');
    const entry: MemoryJob = { row: { ...content, ...NEW_STATE, status }, events: [], checkpoints: new Map() };
    this.entries.set(content.id, entry);
    append(entry, events);
    return entry.row;
  }

  get(tenant: TenantId, id: string): JobRow | null {
    const row = this.entries.get(id)?.row;
    return row?.tenant === tenant ? row : null;
  }

  list(tenant: TenantId, { after, limit }: Parameters<JobStore['list']>[1]): readonly JobRow[] | null {
    return pageOf(this.rows(), tenant, after, limit);
  }

  withStatus(statuses: Parameters<JobStore['withStatus']>[0]): readonly JobRow[] {
    return this.rows().filter((row) => statuses.includes(row.status));
  }

  claim(baseDigest: Digest, nowMs: number, leaseUntilMs: number): JobRow | null {
    const rows = this.rows();
    const turn = (tenant: TenantId): number => Math.max(...rows.filter((row) => row.tenant === tenant).map((row) => row.claimNumber));
    const [next] = rows
      .filter((row) => row.status === 'queued' && row.baseDigest === baseDigest)
      .toSorted((left, right) => Number(right.interrupted) - Number(left.interrupted) || turn(left.tenant) - turn(right.tenant));
    const entry = next === undefined ? undefined : this.entries.get(next.id);
    if (entry === undefined) return null;
    entry.row = {
      ...entry.row,
      status: 'running',
      fence: entry.row.fence + 1,
      leaseUntilMs,
      interrupted: false,
      startedAtMs: entry.row.startedAtMs ?? nowMs,
      claimNumber: Math.max(...rows.map((row) => row.claimNumber)) + 1,
    };
    return entry.row;
  }

  change(
    id: string,
    { statuses, fence }: Parameters<JobStore['change']>[1],
    changes: Parameters<JobStore['change']>[2],
    { events = [], checkpoint, files = [] }: Parameters<JobStore['change']>[3] = {},
  ): JobRow | null {
    const entry = this.entries.get(id);
    if (entry === undefined || !statuses.includes(entry.row.status)) return null;
    if (fence !== undefined && fence !== entry.row.fence) return null;
    const row = { ...entry.row, ...changes };
    if ((row.status === 'running') !== (row.leaseUntilMs !== null)) throw new Error('job store: a lease belongs to a running job');
    entry.row = row;
    append(entry, events);
    if (checkpoint !== undefined) entry.checkpoints.set(checkpoint.step, checkpoint);
    for (const file of files) this.files.add(file);
    return row;
  }

  events(id: string, after: number, limit: number): readonly JobEventRow[] {
    return this.eventsOf(id)
      .filter(({ number }) => number > after)
      .slice(0, limit);
  }

  latestEvents(id: string, before: number | null, limit: number): readonly JobEventRow[] {
    return this.eventsOf(id)
      .filter(({ number }) => before === null || number < before)
      .toReversed()
      .slice(0, limit);
  }

  metrics(id: string): readonly JobEventRow[] {
    return this.eventsOf(id)
      .filter(({ step }) => step !== null)
      .toSorted((left, right) => (left.step ?? 0) - (right.step ?? 0));
  }

  checkpoints(id: string, before: number | null, limit: number): readonly JobCheckpointRow[] {
    return [...(this.entries.get(id)?.checkpoints.values() ?? [])]
      .filter(({ step }) => before === null || step < before)
      .toSorted((left, right) => right.step - left.step)
      .slice(0, limit);
  }

  /** Digests that jobs which still live need. */
  liveDigests(): readonly JobRow['trainingDigest'][] {
    return this.rows()
      .filter(({ status }) => !ENDED_STATUSES.includes(status))
      .flatMap(({ trainingDigest, validationDigest, initial }) =>
        [trainingDigest, validationDigest, initial?.config, initial?.tensors].filter((digest) => digest !== null && digest !== undefined),
      );
  }

  private rows(): readonly JobRow[] {
    return [...this.entries.values()].map(({ row }) => row);
  }

  private eventsOf(id: string): readonly JobEventRow[] {
    return this.entries.get(id)?.events ?? [];
  }
}

const NEW_STATE: Omit<JobRow, 'status' | keyof Parameters<JobStore['add']>[0]> = {
  wanted: 'run',
  fence: 0,
  deaths: 0,
  leaseUntilMs: null,
  interrupted: false,
  totalSteps: null,
  step: 0,
  startedAtMs: null,
  finishedAtMs: null,
  result: null,
  errorCode: null,
  errorMessage: null,
  errorParam: null,
  publishedVersion: null,
  publishedDigest: null,
  resultFiles: [],
  claimNumber: 0,
};

function append(entry: MemoryJob, events: readonly NewJobEvent[]): void {
  for (const event of events) {
    const isKnown = event.step !== null && entry.events.some(({ step }) => step === event.step);
    entry.events = isKnown
      ? entry.events.map((known) => (known.step === event.step ? { ...event, number: known.number } : known))
      : [...entry.events, { ...event, number: entry.events.length + 1 }];
  }
}
