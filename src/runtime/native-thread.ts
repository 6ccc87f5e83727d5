// Native calls beside a thread that must go on: in a worker that gives way to it where they share cores. What the calls make stays when it ends.
import { setPriority } from 'node:os';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { threadScript } from '../core/index.ts';
import { loadLibrary, type OrtLibrary } from './library.ts';
import { type NativeRunRequest, runNative } from './native-run.ts';
import { createNativeSession, type NativeSessionRequest } from './native-session.ts';

/** Everything that it points to must stay until it was answered. */
export type NativeTask =
  | { readonly kind: 'create session'; readonly request: NativeSessionRequest }
  | { readonly kind: 'run'; readonly request: NativeRunRequest };

type Answer = { readonly id: number } & ({ readonly result: unknown } | { readonly problem: string });

interface Numbered {
  readonly id: number;
  readonly task: NativeTask;
}

interface Caller {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** Marks this file's worker among others that may load this room. */
const MARK = 'lorikeet-native-thread';

/**
 * So far below the threads that compute: where they all want the same cores, calls then took 1.5 times as long while a session was made, in 0.6 s; 2.2 times
 * and 0.3 s at their own priority, and at the lowest one (19) a session took 14 s (two cores, 8 rows).
 */
const NICENESS = 5;

/** Does one task after the other. Its worker starts with the first one and does not keep the process alive. */
export class NativeThread implements Disposable {
  readonly #libraryPath: string;
  readonly #callers = new Map<number, Caller>();
  #worker: Worker | null = null;
  #nextId = 0;

  constructor(libraryPath: string) {
    this.#libraryPath = libraryPath;
  }

  /** Answers the pointer of a session that was made, else nothing. @throws Error with ONNX Runtime's message, or when the thread ends without an answer. */
  async do(task: NativeTask): Promise<unknown> {
    const worker = this.#started();
    const id = this.#nextId++;
    return await new Promise((resolve, reject) => {
      this.#callers.set(id, { resolve, reject });
      worker.ref();
      worker.postMessage({ id, task } satisfies Numbered);
    });
  }

  /** Makes the first task wait less. */
  start(): void {
    this.#started();
  }

  /** After what was begun. Terminated inside of a native call, the thread would take the process with it: koffi then has no JavaScript to come back to. */
  dispose(): void {
    this.#worker?.postMessage('end');
    this.#worker = null;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #started(): Worker {
    return (this.#worker ??= this.#startWorker());
  }

  #startWorker(): Worker {
    const worker = new Worker(threadScript(import.meta.filename), {
      eval: true,
      workerData: { mark: MARK, libraryPath: this.#libraryPath },
    });
    worker.on('message', (answer: Answer | 'ready') => {
      if (answer === 'ready') {
        if (this.#callers.size === 0) worker.unref();
        return;
      }
      const caller = this.#callers.get(answer.id);
      this.#callers.delete(answer.id);
      if (this.#callers.size === 0) worker.unref();
      if ('result' in answer) caller?.resolve(answer.result);
      else caller?.reject(new Error(answer.problem));
    });
    worker.on('error', (error) => this.#fail(worker, error));
    worker.on('exit', (code) => this.#fail(worker, new Error(`the thread for native calls ended with code ${code}`)));
    return worker;
  }

  #fail(worker: Worker, error: Error): void {
    if (this.#worker === worker) this.#worker = null;
    for (const { reject } of this.#callers.values()) reject(error);
    this.#callers.clear();
  }
}

function isOurs(data: unknown): data is { readonly mark: string; readonly libraryPath: string } {
  return typeof data === 'object' && data !== null && 'mark' in data && data.mark === MARK;
}

function answerTo(library: OrtLibrary, { id, task }: Numbered): Answer {
  try {
    return { id, result: perform(library, task) };
  } catch (error) {
    return { id, problem: error instanceof Error ? error.message : String(error) };
  }
}

function perform(library: OrtLibrary, task: NativeTask): unknown {
  switch (task.kind) {
    case 'create session':
      return createNativeSession(library, task.request);
    case 'run':
      return runNative(library, task.request);
  }
}

const data: unknown = workerData;
if (!isMainThread && isOurs(data)) {
  // Linux alone knows priorities of threads; elsewhere it would be that of the process.
  if (process.platform === 'linux') setPriority(NICENESS);
  const library = loadLibrary(data.libraryPath);
  parentPort?.on('message', (message: Numbered | 'end') => {
    if (message === 'end') parentPort?.close();
    else parentPort?.postMessage(answerTo(library, message));
  });
  parentPort?.postMessage('ready');
}
