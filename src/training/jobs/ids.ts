// Ids of files, jobs, events and checkpoints. Random where a client could guess, derived where the parts are known.
import { type AdapterName, NAME_RULE, parseAdapterName, type Random } from '../../core/index.ts';

const ID_BYTES = 12;

function randomHex(random: Random): string {
  return Buffer.from(random.bytes(ID_BYTES)).toString('hex');
}

export function newFileId(random: Random): string {
  return `file-${randomHex(random)}`;
}

export function newJobId(random: Random): string {
  return `ftjob-${randomHex(random)}`;
}

/** The name of an adapter whose job was given none. */
export function derivedName(jobId: string): AdapterName {
  const name = parseAdapterName(jobId.replace(/^ftjob-/, 'ft-'));
  if (name === undefined) throw new Error(`job id ${jobId} gives no adapter name (${NAME_RULE})`);
  return name;
}

export function eventId(jobId: string, number: number): string {
  return `ftevent-${jobId.replace(/^ftjob-/, '')}-${number}`;
}

export function checkpointId(jobId: string, step: number): string {
  return `ftckpt-${jobId.replace(/^ftjob-/, '')}-${step}`;
}

/** The number at the end of an event's or checkpoint's id; null for an id that is not of this job. */
export function numberOf(id: string, make: (jobId: string, number: number) => string, jobId: string): number | null {
  const number = Number(/-(\d{1,15})$/.exec(id)?.[1] ?? 'NaN');
  return Number.isSafeInteger(number) && make(jobId, number) === id ? number : null;
}
