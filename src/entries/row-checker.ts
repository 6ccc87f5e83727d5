// Row checks for the front: each in a child process, one after another, so that requests go on meanwhile.
import { join } from 'node:path';
import { AppError } from '../core/index.ts';
import { runToEnd } from '../processes/index.ts';
import type { RowChecker, RowLimits, RowReport } from '../training/jobs/index.ts';
import { takeTurns } from './turns.ts';

/** What the process is started with; a JSON value on its command line. */
export interface RowCheckTask {
  readonly modelFolder: string;
  readonly path: string;
  readonly limits: RowLimits;
}

export type FromRowCheck = { readonly kind: 'done'; readonly report: RowReport } | { readonly kind: 'failed'; readonly message: string };

const MAX_WAITING = 16;

export function childRowChecker(modelFolder: string): RowChecker {
  const inTurn = takeTurns(MAX_WAITING, 'files wait for their rows to be checked');
  return { check: (path, limits) => inTurn(() => runTask({ modelFolder, path, limits })) };
}

async function runTask(task: RowCheckTask): Promise<RowReport> {
  let answer: FromRowCheck | null = null as FromRowCheck | null;
  const ending = await runToEnd<FromRowCheck>({ entry: entryPath(), args: [JSON.stringify(task)] }, (message) => {
    answer = message;
  });
  if (answer?.kind === 'done') return answer.report;
  throw new AppError('internal', `the rows could not be checked: ${answer?.message ?? `their process ${ending}`}`);
}

/** The process's entry beside this file: source under a loader, compiled otherwise. */
function entryPath(): string {
  return join(import.meta.dirname, import.meta.filename.endsWith('.ts') ? 'check-rows.ts' : 'check-rows.js');
}
