// Mixes of adapters for the front: computed in a thread, one after another, so that its event loop goes on. The thread ends when it is idle.
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { MixComputer, MixTask } from '../adapters/index.ts';
import { AppError, threadScript, type ErrorCode } from '../core/index.ts';

/** `code` is null for a failure that is nobody's fault but ours. */
export type FromMixThread =
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly code: ErrorCode | null; readonly message: string };

/** A warm thread saves half a second; an idle one holds tens of megabytes. */
const IDLE_MS = 30_000;

export function threadMixes(): MixComputer {
  let thread: Worker | null = null;
  let idle: NodeJS.Timeout | null = null;
  let last: Promise<unknown> = Promise.resolve();

  function startNew(): Worker {
    const started = startThread();
    const forget = (): void => {
      if (thread === started) thread = null;
    };
    started.on('error', forget).on('exit', forget);
    return started;
  }

  function endIdle(): void {
    void thread?.terminate();
    thread = null;
  }

  async function run(task: MixTask): Promise<void> {
    if (idle !== null) clearTimeout(idle);
    thread ??= startNew();
    const answer = await answerOf(thread, task).catch((cause: unknown) => {
      throw new AppError('internal', 'the mix of adapters could not be computed: its thread ended', { cause });
    });
    idle = setTimeout(endIdle, IDLE_MS).unref();
    if (answer.kind === 'failed') throw new AppError(answer.code ?? 'internal', answer.message);
  }

  return async (task) => {
    const turn = last.catch(() => undefined).then(() => run(task));
    last = turn;
    await turn;
  };
}

/** Rejects when the thread ends without an answer. */
function answerOf(thread: Worker, task: MixTask): Promise<FromMixThread> {
  return new Promise((resolve, reject) => {
    const onMessage = (answer: FromMixThread): void => settle(() => resolve(answer));
    const onError = (error: unknown): void => settle(() => reject(error));
    const onExit = (code: number): void => settle(() => reject(new Error(`the thread ended with code ${code}`)));
    function settle(act: () => void): void {
      thread.off('message', onMessage).off('error', onError).off('exit', onExit);
      act();
    }
    thread.on('message', onMessage).on('error', onError).on('exit', onExit);
    thread.postMessage(task);
  });
}

/** It never keeps its process alive. */
function startThread(): Worker {
  const entry = join(import.meta.dirname, import.meta.filename.endsWith('.ts') ? 'mix-thread.ts' : 'mix-thread.js');
  const thread = new Worker(threadScript(entry), { eval: true });
  thread.unref();
  return thread;
}
