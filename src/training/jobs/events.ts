// Events of a job as they are written and as the routes see them, and the wake-up of who waits for the next one.
import { EventEmitter } from 'node:events';
import type { JobEventRow, NewJobEvent } from '../../storage/index.ts';
import type { StepMetrics } from '../messages.ts';
import type { StepRecord, TrainingEvent } from '../port.ts';
import { eventId } from './ids.ts';

export function messageEvent(atMs: number, message: string, level: NewJobEvent['level'] = 'info'): NewJobEvent {
  return { atMs, level, message, step: null, data: null };
}

export function stepEvent(atMs: number, metrics: StepMetrics, totalSteps: number | null): NewJobEvent {
  const { step, trainLoss, learningRate, gradNorm, tokensPerSecond, validLoss } = metrics;
  const record: StepRecord = {
    step,
    train_loss: trainLoss,
    learning_rate: learningRate,
    grad_norm: gradNorm,
    tokens_per_second: tokensPerSecond,
    ...(validLoss !== undefined && { valid_loss: validLoss }),
  };
  const losses = `training loss ${trainLoss.toFixed(4)}${validLoss === undefined ? '' : `, validation loss ${validLoss.toFixed(4)}`}`;
  const message = `step ${step}${totalSteps === null ? '' : ` of ${totalSteps}`}: ${losses}`;
  return { atMs, level: 'info', message, step, data: JSON.stringify(record) };
}

export function stepRecordOf({ data }: Pick<NewJobEvent, 'data'>): StepRecord | null {
  return data === null ? null : (JSON.parse(data) as StepRecord);
}

export function eventOf(jobId: string, row: JobEventRow): TrainingEvent {
  const { number, atMs, level, message } = row;
  return { id: eventId(jobId, number), atMs, level, message, metrics: stepRecordOf(row) };
}

/** Tells watchers that something of a job was written. */
export class JobSignals {
  readonly #emitter = new EventEmitter().setMaxListeners(0);

  changed(jobId: string): void {
    this.#emitter.emit(jobId);
  }

  /** Resolves at the next change or when `signal` aborts. To be called before looking at the rows, so that no change is missed. */
  next(jobId: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#emitter.off(jobId, done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      this.#emitter.on(jobId, done);
      signal.addEventListener('abort', done);
      if (signal.aborted) done();
    });
  }
}
