// Runs the queue: one job at a time, on a trainer process that is started when a job is due and gone when none is. Every word of the trainer is
// written to the job's row under the attempt's fence, so whoever dies, and whenever, the row says how to go on.
import { describeError, isAppError, type Clock, type Digest, type Logger } from '../../core/index.ts';
import { ENDED_STATUSES, type JobRow, type JobStore } from '../../storage/index.ts';
import type { FromTrainer, JobOrder, JobResult } from '../messages.ts';
import type { JobSignals } from './events.ts';
import type { JobFolders } from './job-folders.ts';
import { type CommonOrder, orderOf, type TrainerProcess } from './job-order.ts';
import { JobPace } from './job-pace.ts';
import type { JobPublisher } from './publisher.ts';
import { attemptLost, attemptPaused, failed, progress, type ProgressMessage, type Transition } from './transitions.ts';

export interface JobRunnerParts {
  readonly jobs: JobStore;
  readonly folders: JobFolders;
  readonly publisher: JobPublisher;
  readonly trainer: TrainerProcess;
  readonly signals: JobSignals;
  readonly baseDigest: Digest;
  readonly blobPath: (digest: Digest) => string;
  readonly order: CommonOrder;
  /** Silence after which an attempt is given up. */
  readonly leaseMs: number;
  /** Deaths of the trainer at one job, without a checkpoint between them, after which the job has failed. */
  readonly maxDeaths: number;
  /** Called with the row of a job that has ended and that nothing works on any more. */
  readonly onEnded: (row: JobRow) => void;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What the trainer works on. */
interface Attempt {
  /** As it was claimed. */
  readonly row: JobRow;
  /** Null while its folder is made ready. */
  order: JobOrder | null;
  /** The trainer knows of it. */
  sent: boolean;
  /** All that is left is ours to do. */
  isFinished: boolean;
  leaseUntilMs: number;
}

export class JobRunner {
  readonly #parts: JobRunnerParts;
  readonly #pace: JobPace;
  #attempt: Attempt | null = null;
  /** Claiming, preparing, publishing or stopping the process; one after the other. */
  #work: Promise<void> | null = null;
  #wakeAgain = false;
  #trainerReady = false;
  #closing: { readonly attemptEnded: () => void } | null = null;
  readonly #leaseTimer: NodeJS.Timeout;

  constructor(parts: JobRunnerParts) {
    this.#parts = parts;
    this.#pace = new JobPace(parts.clock);
    parts.trainer.onMessage((message) => this.#receive(message));
    parts.trainer.onDown(() => this.#trainerGone());
    this.#leaseTimer = setInterval(() => this.#checkLease(), parts.leaseMs / 4).unref();
  }

  /** Looks for the next job, now or when what is being done is done. Does nothing while a job runs. */
  wake(): void {
    if (this.#work !== null) this.#wakeAgain = true;
    else if (this.#attempt === null && this.#closing === null) this.#do(() => this.#takeNext());
  }

  /** Milliseconds since the epoch; null while it is not known. */
  estimatedFinishMs(row: JobRow): number | null {
    return row.id === this.#attempt?.row.id ? this.#pace.finishMs(row) : null;
  }

  /** Whether something may still work in the job's folder. */
  isAtWork(jobId: string): boolean {
    return this.#attempt?.row.id === jobId;
  }

  /** The job was cancelled in its row: its attempt is dropped as soon as the trainer looks up. */
  cancelled(jobId: string): void {
    if (this.#attempt?.row.id === jobId && this.#attempt.sent) this.#parts.trainer.send({ kind: 'cancel', jobId });
  }

  /** A pause is wanted in the row: the attempt ends after its present step. */
  pauseWanted(jobId: string): void {
    if (this.#attempt?.row.id === jobId && this.#attempt.sent) this.#parts.trainer.send({ kind: 'pause', jobId });
  }

  /** Ends the attempt with a checkpoint, waiting at most `graceMs` for it, then process and queue. The job goes on at the next start. */
  async close(graceMs: number): Promise<void> {
    if (this.#closing !== null) return;
    const ended = new Promise<void>((resolve) => {
      this.#closing = { attemptEnded: resolve };
    });
    clearInterval(this.#leaseTimer);
    const { trainer, jobs, clock } = this.#parts;
    if (this.#attempt?.sent === true && trainer.send({ kind: 'pause', jobId: this.#attempt.row.id })) {
      const deadline = setTimeout(() => this.#closing?.attemptEnded(), graceMs);
      await ended;
      clearTimeout(deadline);
    }
    await this.#work;
    await trainer.stop();
    for (const row of jobs.withStatus(['running'])) this.#apply(row, attemptLost(row, 'the server was stopped', clock.now(), null));
  }

  #do(work: () => Promise<void>): void {
    this.#work = work()
      .catch((error: unknown) => this.#parts.logger.error({ error: describeError(error) }, 'the training queue met an unexpected error'))
      .then(() => {
        this.#work = null;
        if (!this.#wakeAgain) return;
        this.#wakeAgain = false;
        this.wake();
      });
  }

  async #takeNext(): Promise<void> {
    const { jobs, trainer, clock, leaseMs, baseDigest } = this.#parts;
    const leaseUntilMs = clock.now() + leaseMs;
    const row = jobs.claim(baseDigest, clock.now(), leaseUntilMs);
    if (row === null) {
      this.#trainerReady = false;
      await trainer.stop();
      return;
    }
    this.#parts.signals.changed(row.id);
    this.#wakeAgain = true;
    if (row.result !== null) return await this.#publish(row);
    this.#pace.reset();
    const attempt: Attempt = { row, order: null, sent: false, isFinished: false, leaseUntilMs };
    this.#attempt = attempt;
    trainer.start();
    try {
      const { folders, blobPath, order } = this.#parts;
      const initialAdapter = await folders.prepare(row);
      attempt.order = orderOf(row, order, { jobFolder: folders.path(row.id), initialAdapter, blobPath });
    } catch (error) {
      const message = `the job could not be made ready: ${describeError(error)}`;
      this.#endWith(attempt, (present, nowMs) => failed(present, { code: 'internal', message, param: null }, nowMs));
      return;
    }
    // Ended while its folder was made.
    if (this.#attempt === attempt) this.#dispatch();
    else this.#cleanUp(row);
  }

  /** Hands the attempt over once both are ready, unless it is not wanted any more. */
  #dispatch(): void {
    const attempt = this.#attempt;
    if (attempt === null || attempt.order === null || attempt.sent || !this.#trainerReady) return;
    const row = this.#present(attempt);
    if (row?.status !== 'running' || row.wanted === 'pause' || this.#closing !== null) {
      this.#endWith(attempt, (present, nowMs) => attemptPaused(present, present.step, nowMs));
      return;
    }
    attempt.sent = this.#parts.trainer.send({ kind: 'start', order: attempt.order });
    this.#renewLease(attempt);
  }

  #receive(message: FromTrainer): void {
    const attempt = this.#attempt;
    if (message.kind === 'ready') {
      this.#trainerReady = true;
      this.#dispatch();
      return;
    }
    if (message.kind === 'pong') {
      if (attempt?.sent === true) this.#renewLease(attempt);
      return;
    }
    // What an attempt says after it was given up is nobody's.
    if (attempt?.row.id === message.jobId && attempt.row.fence === message.fence) this.#heed(attempt, message);
  }

  #heed(attempt: Attempt, message: Exclude<FromTrainer, { readonly kind: 'ready' | 'pong' }>): void {
    switch (message.kind) {
      case 'started':
      case 'step':
      case 'checkpoint':
        return this.#recordProgress(attempt, message);
      case 'finished':
        attempt.isFinished = true;
        return this.#do(() => this.#conclude(attempt, message.result));
      case 'paused':
      case 'cancelled':
        return this.#endWith(attempt, (row, nowMs) => attemptPaused(row, message.step, nowMs));
      case 'failed':
        return this.#endWith(attempt, (row, nowMs) => failed(row, { code: message.code, message: message.message, param: null }, nowMs));
    }
  }

  #recordProgress(attempt: Attempt, message: ProgressMessage): void {
    const { clock, leaseMs } = this.#parts;
    const row = this.#present(attempt);
    if (row === null) return;
    attempt.leaseUntilMs = clock.now() + leaseMs;
    if (message.kind === 'step') this.#pace.stepDone();
    this.#apply(row, progress(row, message, clock.now(), attempt.leaseUntilMs));
  }

  /** The result is sealed in the row first; from then on the job is published, whoever dies. */
  async #conclude(attempt: Attempt, result: JobResult): Promise<void> {
    const { publisher, jobs, clock, leaseMs } = this.#parts;
    const { id, fence } = attempt.row;
    try {
      const sealed = await publisher.seal(id, result);
      const changes = { result: sealed, wanted: 'run', step: result.steps, leaseUntilMs: clock.now() + leaseMs } as const;
      const row = jobs.change(id, { statuses: ['running'], fence }, changes);
      if (row !== null) await this.#publish(row);
      this.#endAttempt(attempt);
    } catch (error) {
      const message = `the trainer's result cannot be read: ${describeError(error)}`;
      this.#endWith(attempt, (row, nowMs) => failed(row, { code: 'internal', message, param: null }, nowMs));
    }
  }

  async #publish(row: JobRow): Promise<void> {
    const { publisher, logger, clock } = this.#parts;
    try {
      await publisher.publish(row);
    } catch (error) {
      logger.error({ job: row.id, error: describeError(error) }, 'a trained adapter could not be published');
      const code = isAppError(error) ? error.code : 'internal';
      const reason = isAppError(error) ? error.message : "the server's log says why";
      this.#apply(row, failed(row, { code, message: `the trained adapter could not be published: ${reason}`, param: null }, clock.now()));
    }
    this.#parts.signals.changed(row.id);
    this.#cleanUp(row);
  }

  #trainerGone(): void {
    this.#trainerReady = false;
    const attempt = this.#attempt;
    if (attempt === null || attempt.isFinished) return;
    // A process that we end ourselves is not the job's fault.
    const maxDeaths = this.#closing === null ? this.#parts.maxDeaths : null;
    this.#endWith(attempt, (row, nowMs) => attemptLost(row, 'the trainer process ended', nowMs, maxDeaths));
  }

  #checkLease(): void {
    const attempt = this.#attempt;
    const { clock, trainer, logger } = this.#parts;
    if (attempt?.sent !== true || attempt.isFinished || clock.now() < attempt.leaseUntilMs) return;
    logger.warn({ job: attempt.row.id }, 'the trainer was silent for too long; ending it');
    // Its end, which follows, gives the attempt up.
    void trainer.stop();
  }

  /** At most four times in a lease: every renewal is a write to the disk. */
  #renewLease(attempt: Attempt): void {
    const { clock, leaseMs, jobs } = this.#parts;
    const leaseUntilMs = clock.now() + leaseMs;
    if (leaseUntilMs - attempt.leaseUntilMs < leaseMs / 4) return;
    attempt.leaseUntilMs = leaseUntilMs;
    jobs.change(attempt.row.id, { statuses: ['running'], fence: attempt.row.fence }, { leaseUntilMs });
  }

  /** `transition` is made if the job still runs: it may have been cancelled. */
  #endWith(attempt: Attempt, transition: (row: JobRow, nowMs: number) => Transition): void {
    const row = this.#present(attempt);
    if (row?.status === 'running') this.#apply(row, transition(row, this.#parts.clock.now()));
    this.#endAttempt(attempt);
  }

  #endAttempt(attempt: Attempt): void {
    if (this.#attempt === attempt) this.#attempt = null;
    this.#closing?.attemptEnded();
    this.#cleanUp(attempt.row);
    this.wake();
  }

  #cleanUp({ tenant, id }: JobRow): void {
    const row = this.#parts.jobs.get(tenant, id);
    if (row !== null && ENDED_STATUSES.includes(row.status)) this.#parts.onEnded(row);
  }

  /** Null when another attempt has taken the job over. */
  #present({ row: { tenant, id, fence } }: Attempt): JobRow | null {
    const row = this.#parts.jobs.get(tenant, id);
    return row?.fence === fence ? row : null;
  }

  #apply(row: JobRow, { from, changes, events, checkpoint }: Transition): void {
    this.#parts.jobs.change(row.id, from, changes, { events, ...(checkpoint !== undefined && { checkpoint }) });
    this.#parts.signals.changed(row.id);
  }
}
