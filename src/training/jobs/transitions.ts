// How a job goes from state to state: each transition as the change of its row and the events beside it. Pure; who may make it is told by
// the statuses and the fence that it is applied to.
import type { ErrorCode } from '../../core/index.ts';
import type { ExpectedJob, JobCheckpointRow, JobRow, JobState, NewJobEvent } from '../../storage/index.ts';
import type { FromTrainer } from '../messages.ts';
import { messageEvent, stepEvent } from './events.ts';

export interface Transition {
  readonly from: ExpectedJob;
  readonly changes: Partial<JobState>;
  readonly events: readonly NewJobEvent[];
  readonly checkpoint?: JobCheckpointRow;
}

/** A message about an attempt that leaves it running. */
export type ProgressMessage = Extract<FromTrainer, { readonly kind: 'started' | 'step' | 'checkpoint' }>;

const NO_LEASE = { leaseUntilMs: null } as const;

export function progress(row: JobRow, message: ProgressMessage, nowMs: number, leaseUntilMs: number): Transition {
  const from: ExpectedJob = { statuses: ['running'], fence: message.fence };
  switch (message.kind) {
    case 'started': {
      const { totalSteps, resumedFromStep } = message;
      const words = resumedFromStep === 0 ? `training ${totalSteps} steps` : `going on after step ${resumedFromStep} of ${totalSteps}`;
      return { from, changes: { totalSteps, step: resumedFromStep, leaseUntilMs }, events: [messageEvent(nowMs, words)] };
    }
    case 'step':
      return {
        from,
        changes: { step: message.metrics.step, leaseUntilMs },
        events: [stepEvent(nowMs, message.metrics, row.totalSteps)],
      };
    case 'checkpoint':
      return {
        from,
        changes: { deaths: 0, leaseUntilMs },
        events: [],
        checkpoint: { step: message.step, atMs: nowMs, validLoss: message.validLoss },
      };
  }
}

/** The attempt ended with a checkpoint: because that was asked for, or because the server goes down, or although it is not wanted any more. */
export function attemptPaused(row: JobRow, step: number, nowMs: number): Transition {
  const from: ExpectedJob = { statuses: ['running'], fence: row.fence };
  return row.wanted === 'pause'
    ? { from, changes: { ...NO_LEASE, status: 'paused', wanted: 'run', step }, events: [messageEvent(nowMs, `paused after step ${step}`)] }
    : { from, changes: { ...NO_LEASE, status: 'queued', interrupted: true, step }, events: [] };
}

/** The attempt's process or its server died, or was silent for too long. */
export function attemptLost(row: JobRow, reason: string, nowMs: number, maxDeaths: number | null): Transition {
  const from: ExpectedJob = { statuses: ['running'], fence: row.fence };
  const deaths = maxDeaths === null ? row.deaths : row.deaths + 1;
  if (row.wanted === 'pause' && row.result === null)
    return {
      from,
      changes: { ...NO_LEASE, status: 'paused', wanted: 'run', deaths },
      events: [messageEvent(nowMs, `${reason}; paused`, 'warn')],
    };
  if (maxDeaths !== null && deaths >= maxDeaths) {
    const message = `${reason}, ${deaths} times without a checkpoint between; the server's log says more`;
    return { ...failed(row, { code: 'internal', message, param: null }, nowMs), from };
  }
  const events = [messageEvent(nowMs, `${reason}; going on from the last checkpoint`, 'warn')];
  return { from, changes: { ...NO_LEASE, status: 'queued', interrupted: true, deaths }, events };
}

export interface JobFailure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly param: string | null;
}

export function failed(row: JobRow, { code, message, param }: JobFailure, nowMs: number): Transition {
  return {
    from: { statuses: ['validating_files', 'running'], fence: row.fence },
    changes: { ...NO_LEASE, status: 'failed', finishedAtMs: nowMs, errorCode: code, errorMessage: message, errorParam: param },
    events: [messageEvent(nowMs, message, 'error')],
  };
}

/** Refused for a job whose result is being published: it is as good as done. */
export function cancelled(row: JobRow, nowMs: number): Transition | null {
  if (row.result !== null) return null;
  return {
    from: { statuses: ['validating_files', 'queued', 'running', 'paused'], fence: row.fence },
    changes: { ...NO_LEASE, status: 'cancelled', finishedAtMs: nowMs },
    events: [messageEvent(nowMs, 'cancelled')],
  };
}

export function pauseWanted(row: JobRow, nowMs: number): Transition | null {
  const { fence } = row;
  if (row.status === 'queued' && row.result === null)
    return {
      from: { statuses: ['queued'], fence },
      changes: { status: 'paused', interrupted: false },
      events: [messageEvent(nowMs, 'paused')],
    };
  if (row.status !== 'running' || row.result !== null) return null;
  const events = row.wanted === 'pause' ? [] : [messageEvent(nowMs, 'pausing after the present step')];
  return { from: { statuses: ['running'], fence }, changes: { wanted: 'pause' }, events };
}

export function resumeWanted(row: JobRow, nowMs: number): Transition | null {
  const { fence } = row;
  if (row.status === 'paused')
    return { from: { statuses: ['paused'], fence }, changes: { status: 'queued' }, events: [messageEvent(nowMs, 'queued again')] };
  if (row.status !== 'running' || row.wanted !== 'pause') return null;
  return { from: { statuses: ['running'], fence }, changes: { wanted: 'run' }, events: [messageEvent(nowMs, 'not pausing')] };
}
