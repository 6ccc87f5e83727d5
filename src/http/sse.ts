// Server-sent events over a Fastify reply: framing, heartbeat, and the rule that no header leaves before the first event exists.
import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import { HEARTBEAT_MS } from './limits.ts';

/** One event. JSON never holds a raw line break, so a single data line is enough. */
export function sseData(value: unknown): string {
  return `data: ${typeof value === 'string' ? value : JSON.stringify(value)}\n\n`;
}

const HEARTBEAT = ': waiting\n\n';

export interface SseOptions {
  /** Writes a failure that comes after the first byte as events; the stream ends after them. */
  readonly renderFailure: (error: unknown) => readonly string[];
}

/**
 * Sends framed events. Waits for the first one before any header goes out, so a failure until then is thrown to the caller
 * and becomes a proper status. Node's stream pipeline holds the generator back while the client reads slowly.
 */
export async function sendEvents(reply: FastifyReply, events: AsyncIterator<string>, options: SseOptions): Promise<FastifyReply> {
  const first = await withHeartbeat(events.next());
  void reply
    .header('content-type', 'text/event-stream; charset=utf-8')
    .header('cache-control', 'no-cache, no-transform')
    .header('x-accel-buffering', 'no');
  return reply.send(Readable.from(frames(first, events, options), { objectMode: false }));
}

type Turn =
  | { readonly kind: 'result'; readonly result: IteratorResult<string> }
  | { readonly kind: 'pending'; readonly next: Promise<IteratorResult<string>> };

/** The next event, or, after a silence, the promise for it. */
async function withHeartbeat(next: Promise<IteratorResult<string>>): Promise<Turn> {
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<Turn>((resolve) => {
    timer = setTimeout(() => resolve({ kind: 'pending', next }), HEARTBEAT_MS);
  });
  try {
    return await Promise.race([next.then((result): Turn => ({ kind: 'result', result })), silence]);
  } finally {
    clearTimeout(timer);
  }
}

async function* frames(first: Turn, events: AsyncIterator<string>, options: SseOptions): AsyncGenerator<string> {
  let turn = first;
  try {
    for (;;) {
      if (turn.kind === 'pending') {
        yield HEARTBEAT;
        turn = await withHeartbeat(turn.next);
      } else if (turn.result.done === true) {
        return;
      } else {
        yield turn.result.value;
        turn = await withHeartbeat(events.next());
      }
    }
  } catch (error) {
    yield* options.renderFailure(error);
  } finally {
    await events.return?.();
  }
}
