// Follows a job's events to its end, over broken connections and restarts of the server.
import { setTimeout as delay } from 'node:timers/promises';
import { AppError, describeError } from '../../core/index.ts';
import { asRecord, type ServerClient } from '../client.ts';
import { hasEnded, jobPath, readEvent, readJob, type WireEvent, type WireJob } from './wire.ts';

/** A server that restarts is away for some seconds. */
const TRIES = 30;
const BETWEEN_TRIES_MS = 2000;

/** Resolves to the job when it has ended. `onEvent` is called once for each event; `isPatient` false: a broken connection is a failure. */
export async function followJob(client: ServerClient, id: string, onEvent: (event: WireEvent) => Promise<void> | void): Promise<WireJob> {
  let after = '';
  for (let failures = 0; ;) {
    try {
      for await (const event of eventsOf(client, id, after)) {
        failures = 0;
        after = event.id;
        await onEvent(event);
      }
      const job = readJob(await client.json(jobPath(id)));
      if (hasEnded(job)) return job;
    } catch (error) {
      failures += 1;
      if (!isPassing(error) || failures >= TRIES) throw error;
    }
    await delay(BETWEEN_TRIES_MS);
  }
}

function isPassing(error: unknown): boolean {
  // Anything but a refusal is a connection that broke.
  return !(error instanceof AppError) || error.code === 'engine_unavailable' || error.code === 'overloaded';
}

async function* eventsOf(client: ServerClient, id: string, after: string): AsyncGenerator<WireEvent> {
  const query = after === '' ? '' : `&after=${encodeURIComponent(after)}`;
  const response = await client.response(jobPath(id, `/events?stream=true${query}`), { headers: { accept: 'text/event-stream' } });
  if (response.body === null) throw new AppError('engine_unavailable', 'the server sent no events');
  const decoder = new TextDecoder();
  let pending = '';
  for await (const bytes of response.body) {
    pending += decoder.decode(bytes as Uint8Array, { stream: true });
    const frames = pending.split('\n\n');
    pending = frames.pop() ?? '';
    for (const data of frames.flatMap((frame) => frame.split('\n').filter((line) => line.startsWith('data: ')))) {
      if (data === 'data: [DONE]') return;
      yield eventIn(data.slice('data: '.length));
    }
  }
}

function eventIn(text: string): WireEvent {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (cause) {
    throw new AppError('internal', `the server sent an event that is not JSON (${describeError(cause)})`, { cause });
  }
  const { message } = asRecord(asRecord(body)['error']);
  if (typeof message === 'string') throw new AppError('engine_unavailable', message);
  return readEvent(body);
}
