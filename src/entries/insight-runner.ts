// Insight for the front: each computed in a child process, one after another, so that requests go on meanwhile.
import { join } from 'node:path';
import type { AdapterComparison, AdapterInsight, AdapterInsights, DirectionSide } from '../adapters/index.ts';
import { AppError } from '../core/index.ts';
import { runToEnd } from '../processes/index.ts';
import { takeTurns } from './turns.ts';

/** What the process is started with; a JSON value on its command line. */
export type InsightTask =
  | { readonly kind: 'inspect'; readonly modelFolder: string; readonly path: string }
  | {
      readonly kind: 'compare';
      readonly modelFolder: string;
      readonly first: string;
      readonly second: string;
      readonly side: DirectionSide;
    };

export type FromInsight = { readonly kind: 'done'; readonly value: unknown } | { readonly kind: 'failed'; readonly message: string };

const MAX_WAITING = 8;

export function childInsights(modelFolder: string): AdapterInsights {
  const turns = takeTurns(MAX_WAITING, 'insights are waiting to be computed');
  const inTurn = (task: InsightTask): Promise<unknown> => turns(() => runTask(task));
  return {
    inspect: async (path) => (await inTurn({ kind: 'inspect', modelFolder, path })) as AdapterInsight,
    compare: async (first, second, side) => (await inTurn({ kind: 'compare', modelFolder, first, second, side })) as AdapterComparison,
  };
}

async function runTask(task: InsightTask): Promise<unknown> {
  let answer: FromInsight | null = null as FromInsight | null;
  const ending = await runToEnd<FromInsight>({ entry: entryPath(), args: [JSON.stringify(task)] }, (message) => {
    answer = message;
  });
  if (answer?.kind === 'done') return answer.value;
  throw new AppError('internal', `the insight could not be computed: ${answer?.message ?? `its process ${ending}`}`);
}

/** The process's entry beside this file: source under a loader, compiled otherwise. */
function entryPath(): string {
  return join(import.meta.dirname, import.meta.filename.endsWith('.ts') ? 'insight.ts' : 'insight.js');
}
