// Decode steps of a merged adapter and of the base, in a process with the engine's memory.
import { openSubject, subjectTokenIds } from '../subject.ts';
import { randomAdapter } from '../random-adapter.ts';
import { serveChild } from '../sides/serve-child.ts';
import { type StepPairs, stepPairs } from './step-ratio.ts';
import { withMerged } from './subject.ts';

export interface StepsQuestion {
  readonly rowCounts: readonly number[];
  readonly pairs: number;
}

export interface StepsAnswer {
  readonly steps: readonly (StepPairs & { readonly rowCount: number })[];
  /** Seconds that making the merged files took, and loading their session. */
  readonly makeSeconds: number;
  readonly loadSeconds: number;
}

const MAX_CONTEXT = 512;
const RANK = 16;

await serveChild<object, StepsQuestion, StepsAnswer>(async () => {
  const model = await openSubject();
  const tokenIds = await subjectTokenIds(model, MAX_CONTEXT);
  const adapter = randomAdapter(model.description, RANK, 1);
  return async ({ rowCounts, pairs }) => {
    const needs = { precision: 'int8', adapter, maxRows: 2 * Math.max(...rowCounts), maxContext: MAX_CONTEXT } as const;
    return await withMerged(model, needs, ({ executor, makeSeconds, loadSeconds }) => ({
      steps: rowCounts.map((rowCount) => ({ rowCount, ...stepPairs(executor, { tokenIds, rowCount, pairs }) })),
      makeSeconds,
      loadSeconds,
    }));
  };
});
