// Creates one session beside a thread that must go on: in a worker that gives way to it. Its own JavaScript ends with it, the session stays.
import { setPriority } from 'node:os';
import { pathToFileURL } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { loadLibrary } from './library.ts';
import { createNativeSession, type NativeSessionRequest } from './native-session.ts';

export interface SessionTask {
  readonly libraryPath: string;
  readonly request: NativeSessionRequest;
}

type Answer = { readonly pointer: unknown } | { readonly problem: string };

/** Marks this file's worker among others that may load this room. */
const MARK = 'lorikeet-session-thread';

/**
 * So far below the threads that compute: where they all want the same cores, calls then took 1.5 times as long and a session 0.6 s; 2.2 times
 * and 0.3 s at their own priority, and at the lowest one (19) a session took 14 s (two cores, 8 rows).
 */
const NICENESS = 5;

/** Answers the pointer of the session. @throws Error with ONNX Runtime's message, or when the thread ends without an answer. */
export function createOnThread(task: SessionTask): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(startScript(), { eval: true, workerData: { mark: MARK, task } });
    let isAnswered = false;
    worker.once('message', (answer: Answer) => {
      isAnswered = true;
      if ('pointer' in answer) resolve(answer.pointer);
      else reject(new Error(answer.problem));
    });
    worker.once('error', reject);
    worker.once('exit', (code) => {
      if (!isAnswered) reject(new Error(`the thread that creates sessions ended with code ${code}`));
    });
  });
}

/** In a thread the loader for TypeScript sources has to be registered anew; a built file needs none. */
function startScript(): string {
  const load = `import(${JSON.stringify(pathToFileURL(import.meta.filename).href)})`;
  if (!import.meta.filename.endsWith('.ts')) return load;
  return `import(${JSON.stringify(import.meta.resolve('tsx/esm/api'))}).then(({ register }) => (register(), ${load}))`;
}

function isTask(data: unknown): data is { readonly mark: string; readonly task: SessionTask } {
  return typeof data === 'object' && data !== null && 'mark' in data && data.mark === MARK;
}

function create({ libraryPath, request }: SessionTask): Answer {
  // Linux alone knows priorities of threads; elsewhere it would be that of the process.
  if (process.platform === 'linux') setPriority(NICENESS);
  try {
    return { pointer: createNativeSession(loadLibrary(libraryPath), request) };
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}

const data: unknown = workerData;
if (!isMainThread && isTask(data)) parentPort?.postMessage(create(data.task));
