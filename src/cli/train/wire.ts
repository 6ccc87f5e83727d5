// The training API's JSON as this client reads it: only the fields that a command shows or needs, checked on arrival.
import { AppError } from '../../core/index.ts';
import { asRecord, type ServerClient } from '../client.ts';
import { listEntries } from '../adapters/wire.ts';

export const JOBS_PATH = '/v1/fine_tuning/jobs';

export interface WireJob {
  readonly id: string;
  readonly name: string;
  readonly status: string;
  readonly model: string;
  readonly step: number;
  readonly totalSteps: number | null;
  readonly version: number | null;
  readonly createdAt: number;
  readonly finishedAt: number | null;
  /** Seconds since the epoch. */
  readonly estimatedFinish: number | null;
  readonly error: string | null;
  readonly result: { readonly trainableParameters: number; readonly finalTrainLoss: number; readonly bestValidLoss: number | null } | null;
}

export function jobPath(id: string, action = ''): string {
  return `${JOBS_PATH}/${encodeURIComponent(id)}${action}`;
}

export function readJob(body: unknown): WireJob {
  const job = asRecord(body);
  const { id, status } = job;
  if (typeof id !== 'string' || typeof status !== 'string')
    throw new AppError('internal', 'the server answered no job; is it another version?');
  const { result } = job;
  const fields = asRecord(result);
  return {
    id,
    status,
    name: textOf(job['adapter_name']),
    model: textOf(job['model']),
    step: numberOf(job['step']) ?? 0,
    totalSteps: numberOf(job['total_steps']),
    version: numberOf(job['adapter_version']),
    createdAt: numberOf(job['created_at']) ?? 0,
    finishedAt: numberOf(job['finished_at']),
    estimatedFinish: numberOf(job['estimated_finish']),
    error: job['error'] === null ? null : textOf(asRecord(job['error'])['message']),
    result:
      result === null
        ? null
        : {
            trainableParameters: numberOf(fields['trainable_parameters']) ?? 0,
            finalTrainLoss: numberOf(fields['final_train_loss']) ?? 0,
            bestValidLoss: numberOf(fields['best_valid_loss']),
          },
  };
}

export function hasEnded({ status }: WireJob): boolean {
  return status === 'succeeded' || status === 'failed' || status === 'cancelled';
}

export interface WireStep {
  readonly step: number;
  readonly trainLoss: number;
  readonly validLoss: number | null;
  readonly tokensPerSecond: number;
}

export interface WireEvent {
  readonly id: string;
  readonly message: string;
  readonly level: string;
  readonly step: WireStep | null;
}

export function readEvent(body: unknown): WireEvent {
  const event = asRecord(body);
  const data = asRecord(event['data']);
  const step = numberOf(data['step']);
  return {
    id: textOf(event['id']),
    message: textOf(event['message']),
    level: textOf(event['level']),
    step:
      step === null
        ? null
        : {
            step,
            trainLoss: numberOf(data['train_loss']) ?? NaN,
            validLoss: numberOf(data['valid_loss']),
            tokensPerSecond: numberOf(data['tokens_per_second']) ?? 0,
          },
  };
}

/** The job of an id, or the newest one that makes the adapter of a name. */
export async function findJob(client: ServerClient, idOrName: string): Promise<WireJob> {
  if (idOrName.startsWith('ftjob-')) return readJob(await client.json(jobPath(idOrName)));
  const jobs = listEntries(await client.json(`${JOBS_PATH}?limit=100`)).map(readJob);
  const found = jobs.find(({ name }) => name === idOrName);
  if (found === undefined) throw new AppError('not_found', `no job makes an adapter "${idOrName}"; see "lorikeet train list"`);
  return found;
}

/** Id of the base model that the server serves. */
export async function baseModel(client: ServerClient): Promise<string> {
  const [base] = listEntries(await client.json('/v1/models')).filter(({ parent }) => parent === null);
  const { id } = base ?? {};
  if (typeof id !== 'string') throw new AppError('internal', 'the server names no base model; is it another version?');
  return id;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function numberOf(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}
