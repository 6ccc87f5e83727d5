// The front's side of training jobs: requests become rows, rows become answers. What runs is the runner's matter.
import { AppError, describeError, isAppError, type Clock, type Digest, type Logger, type Random, type TenantId } from '../../core/index.ts';
import { ENDED_STATUSES, type JobContent, type JobRow, type JobStore } from '../../storage/index.ts';
import type { FineTuningJobs, JobRequest, Page, PageRequest, RowTotals, TrainingCheckpoint, TrainingEvent, TrainingJob } from '../port.ts';
import { checkStepCount } from './check-choices.ts';
import type { RowChecker, RowLimits } from './check-rows.ts';
import { eventOf, type JobSignals, messageEvent, stepRecordOf } from './events.ts';
import { checkpointId, derivedName, eventId, newJobId, numberOf } from './ids.ts';
import { type CheckedRequest, checkJobRows, checkRequest, type JobCheckParts, type RowFiles } from './job-check.ts';
import { type JobRecord, jobOf, recordOf } from './job-record.ts';
import { readPage, unknownAfter } from './pages.ts';
import type { JobRunner } from './runner.ts';
import { cancelled, failed, pauseWanted, resumeWanted, type Transition } from './transitions.ts';

export interface JobServiceParts {
  readonly jobs: JobStore;
  readonly check: JobCheckParts;
  readonly checker: RowChecker;
  readonly rowLimits: Omit<RowLimits, 'maxSeqLength'>;
  /** Jobs of one tenant that have not ended. */
  readonly maxOpenJobs: number;
  /** A check of rows that takes longer goes on behind a job in validating_files. */
  readonly answerWithinMs: number;
  readonly baseDigest: Digest;
  readonly runner: JobRunner;
  readonly signals: JobSignals;
  /** Called with the row of a job that has ended and that nothing works on any more. */
  readonly onEnded: (row: JobRow) => void;
  /** Aborts when the server goes down: watchers end then. */
  readonly closing: AbortSignal;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

const EVENTS_AT_ONCE = 100;

export class JobService implements FineTuningJobs {
  readonly #parts: JobServiceParts;

  constructor(parts: JobServiceParts) {
    this.#parts = parts;
  }

  async create(tenant: TenantId, request: JobRequest): ReturnType<FineTuningJobs['create']> {
    const { check, random, baseDigest, clock } = this.#parts;
    this.#requireRoom(tenant);
    const id = newJobId(random);
    const seed = request.seed ?? Buffer.from(random.bytes(4)).readUInt32LE();
    const checked = await checkRequest(check, tenant, request, { jobName: derivedName(id), seed });
    try {
      const rows = this.#checkRows(checked, request.choicesPath);
      const known = await within(rows, this.#parts.answerWithinMs);
      this.#requireRoom(tenant);
      const content: JobContent = {
        id,
        tenant,
        adapterName: checked.adapterName,
        baseDigest,
        trainingDigest: checked.training.digest,
        validationDigest: checked.validation?.digest ?? null,
        initial: checked.initial,
        request: JSON.stringify(storedRequest(request, checked, known)),
        createdAtMs: clock.now(),
      };
      const words = known === null ? 'checking the rows' : queuedWords(known);
      const row = this.#parts.jobs.add(content, known === null ? 'validating_files' : 'queued', [messageEvent(clock.now(), words)]);
      if (known === null) this.#settleLater(row, rows);
      else this.#parts.runner.wake();
      return jobOf(row, null);
    } finally {
      checked.release();
    }
  }

  /** At start: checks the rows of jobs whose check did not end. */
  resumeChecks(): void {
    for (const row of this.#parts.jobs.withStatus(['validating_files'])) {
      const validation = row.validationDigest === null ? null : { digest: row.validationDigest };
      const { hyperparameters, choicesPath } = recordOf(row);
      const files = { training: { digest: row.trainingDigest }, validation, hyperparameters };
      this.#settleLater(row, this.#checkRows(files, choicesPath));
    }
  }

  list(tenant: TenantId, page: PageRequest): Page<TrainingJob> {
    const { jobs } = this.#parts;
    return readPage(
      page,
      (asked) => jobs.list(tenant, asked),
      (row) => this.#shown(row),
    );
  }

  get(tenant: TenantId, id: string): TrainingJob {
    return this.#shown(this.#existing(tenant, id));
  }

  events(tenant: TenantId, id: string, page: PageRequest): Page<TrainingEvent> {
    this.#existing(tenant, id);
    const before = page.after === null ? null : positionOf(page.after, eventId, id);
    return readPage(
      page,
      ({ limit }) => this.#parts.jobs.latestEvents(id, before, limit),
      (row) => eventOf(id, row),
    );
  }

  async *watch(tenant: TenantId, id: string, after: string | null, signal: AbortSignal): AsyncGenerator<TrainingEvent> {
    const { jobs, signals, closing } = this.#parts;
    const ended = AbortSignal.any([signal, closing]);
    let seen = after === null ? 0 : positionOf(after, eventId, id);
    while (!ended.aborted) {
      const next = signals.next(id, ended);
      const { status } = this.#existing(tenant, id);
      const events = jobs.events(id, seen, EVENTS_AT_ONCE);
      for (const row of events) yield eventOf(id, row);
      seen = events.at(-1)?.number ?? seen;
      if (events.length === EVENTS_AT_ONCE) continue;
      if (ENDED_STATUSES.includes(status)) return;
      await next;
    }
    if (closing.aborted) throw new AppError('engine_unavailable', 'the server is shutting down; the job goes on when it is back');
  }

  checkpoints(tenant: TenantId, id: string, page: PageRequest): Page<TrainingCheckpoint> {
    this.#existing(tenant, id);
    const before = page.after === null ? null : positionOf(page.after, checkpointId, id);
    const metrics = new Map(this.#parts.jobs.metrics(id).map((event) => [event.step, stepRecordOf(event)]));
    return readPage(
      page,
      ({ limit }) => this.#parts.jobs.checkpoints(id, before, limit),
      ({ step, atMs }) => ({ id: checkpointId(id, step), step, atMs, metrics: metrics.get(step) ?? null }),
    );
  }

  cancel(tenant: TenantId, id: string): TrainingJob {
    const row = this.#change(tenant, id, 'cancelled', cancelled);
    const { runner, onEnded } = this.#parts;
    if (runner.isAtWork(id)) runner.cancelled(id);
    else onEnded(row);
    return this.#shown(row);
  }

  pause(tenant: TenantId, id: string): TrainingJob {
    const row = this.#change(tenant, id, 'paused', pauseWanted);
    this.#parts.runner.pauseWanted(id);
    return this.#shown(row);
  }

  resume(tenant: TenantId, id: string): TrainingJob {
    const row = this.#change(tenant, id, 'resumed', resumeWanted);
    this.#parts.runner.wake();
    return this.#shown(row);
  }

  #change(tenant: TenantId, id: string, verb: string, transition: (row: JobRow, nowMs: number) => Transition | null): JobRow {
    const { jobs, signals, clock } = this.#parts;
    const row = this.#existing(tenant, id);
    const wanted = transition(row, clock.now());
    const changed = wanted === null ? null : jobs.change(id, wanted.from, wanted.changes, { events: wanted.events });
    if (changed === null) {
      const state = row.result !== null && !ENDED_STATUSES.includes(row.status) ? 'being published' : row.status;
      throw new AppError('conflict', `the job is ${state} and cannot be ${verb}`);
    }
    signals.changed(id);
    return changed;
  }

  #existing(tenant: TenantId, id: string): JobRow {
    const row = this.#parts.jobs.get(tenant, id);
    if (row === null) throw new AppError('not_found', 'no such job: GET /v1/fine_tuning/jobs lists yours');
    return row;
  }

  #shown(row: JobRow): TrainingJob {
    return jobOf(row, this.#parts.runner.estimatedFinishMs(row));
  }

  #requireRoom(tenant: TenantId): void {
    const { jobs, maxOpenJobs } = this.#parts;
    const open = jobs.withStatus(['validating_files', 'queued', 'running', 'paused']).filter((row) => row.tenant === tenant).length;
    if (open < maxOpenJobs) return;
    throw new AppError('rate_limited', `${open} of your jobs have not ended, at most ${maxOpenJobs} are allowed (trainingMaxJobs)`, {
      retryAfterSeconds: 60,
    });
  }

  async #checkRows(files: RowFiles & Pick<CheckedRequest, 'hyperparameters'>, choicesPath: string): Promise<RowTotals> {
    const { check, checker, rowLimits } = this.#parts;
    const limits = { ...rowLimits, maxSeqLength: files.hyperparameters.maxSeqLength };
    const totals = await checkJobRows(checker, files, (digest) => check.adapters.keeper.path(digest), limits);
    checkStepCount(files.hyperparameters, totals.rows, check.limits.maxSteps, choicesPath);
    return totals;
  }

  /** Queues the job when its rows are good, else fails it. */
  #settleLater(row: JobRow, rows: Promise<RowTotals>): void {
    const { jobs, clock, logger, signals, onEnded, runner, closing } = this.#parts;
    rows
      .then((totals) => {
        if (closing.aborted) return;
        const events = [messageEvent(clock.now(), queuedWords(totals))];
        jobs.change(row.id, { statuses: ['validating_files'] }, { status: 'queued' }, { events });
        runner.wake();
      })
      .catch((error: unknown) => {
        // The next start checks again.
        if (closing.aborted) return;
        if (!isAppError(error)) logger.error({ job: row.id, error: describeError(error) }, 'rows could not be checked');
        const failure = isAppError(error)
          ? { code: error.code, message: error.message, param: error.param ?? null }
          : { code: 'internal' as const, message: "the rows could not be checked; the server's log says why", param: null };
        const { from, changes, events } = failed(row, failure, clock.now());
        const ended = jobs.change(row.id, from, changes, { events });
        if (ended !== null) onEnded(ended);
      })
      .finally(() => signals.changed(row.id));
  }
}

function storedRequest(request: JobRequest, { hyperparameters }: CheckedRequest, rows: RowTotals | null): JobRecord {
  const { model, trainingFile, validationFile, metadata, choicesPath } = request;
  return { model, trainingFile, validationFile, metadata, choicesPath, hyperparameters, rows };
}

function queuedWords({ rows, tokens, supervisedTokens, cutRows }: RowTotals): string {
  const cut = cutRows === 0 ? '' : `; ${cutRows} rows are longer than max_seq_length and cut`;
  return `queued: ${rows} rows, ${tokens} tokens, ${supervisedTokens} of them supervised${cut}`;
}

function positionOf(id: string, make: typeof eventId, jobId: string): number {
  const number = numberOf(id, make, jobId);
  if (number === null) throw unknownAfter(id);
  return number;
}

/** Null when the work takes longer; its failure is then for whoever waits on. */
async function within<T>(work: Promise<T>, timeMs: number): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), timeMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
