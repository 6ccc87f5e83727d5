// The thread that computes mixes of adapters: a task in, an answer out, one after another. It ends when its owner says so.
import { parentPort } from 'node:worker_threads';
import { computeMix, type MixTask } from '../adapters/index.ts';
import { describeError, isAppError } from '../core/index.ts';
import type { FromMixThread } from './mix-runner.ts';

parentPort?.on('message', (task: MixTask) => {
  computeMix(task)
    .then((): FromMixThread => ({ kind: 'done' }))
    .catch((error: unknown): FromMixThread => ({
      kind: 'failed',
      code: isAppError(error) ? error.code : null,
      message: describeError(error),
    }))
    .then((answer) => parentPort?.postMessage(answer))
    .catch(() => undefined);
});
