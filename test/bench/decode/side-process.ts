// The parent's half: a child with one side in it, so that sides share neither memory nor threads.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { FromSide, SideOptions, ToSide, Workload } from './protocol.ts';
import type { Measurement } from './serve-side.ts';

export interface SideProcess {
  readonly name: string;
  measure(workload: Workload): Promise<Measurement>;
  stop(): void;
}

/** @throws Error with the child's own message when it cannot open its side. */
export async function startSide(name: string, file: string, options: SideOptions): Promise<SideProcess> {
  const child = fork(join(import.meta.dirname, file), [JSON.stringify(options)], { execArgv: ['--import', 'tsx'] });
  const first = await nextMessage(name, child);
  if (first.kind === 'failed') throw new Error(`${name}: ${first.message}`);
  return {
    name,
    async measure(workload) {
      const answer = nextMessage(name, child);
      child.send({ kind: 'measure', workload } satisfies ToSide);
      const message = await answer;
      if (message.kind !== 'measured') throw new Error(`${name}: ${message.kind === 'failed' ? message.message : 'unexpected message'}`);
      return message;
    },
    stop: () => void (child.connected && child.disconnect()),
  };
}

async function nextMessage(name: string, child: ChildProcess): Promise<FromSide> {
  const stop = new AbortController();
  const exited = once(child, 'exit', { signal: stop.signal }).then(([code]) => {
    throw new Error(`${name}: its process ended with ${String(code)}`);
  });
  const message = once(child, 'message', { signal: stop.signal }).then(([value]) => value as FromSide);
  try {
    return await Promise.race([message, exited]);
  } finally {
    exited.catch(() => undefined);
    stop.abort();
  }
}
