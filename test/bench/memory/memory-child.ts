// Resident memory of our executor before and after rows and adapters join it, in a process that has done nothing else.
import type { ModelExecutor } from '../../../src/engine/index.ts';
import type { Precision } from '../../../src/models/index.ts';
import { randomAdapter } from '../random-adapter.ts';
import { addFilledRow, decodeStep, type NewRow } from '../sides/our-rows.ts';
import { serveChild } from '../sides/serve-child.ts';
import { openSubject, openSubjectExecutor } from '../subject.ts';

export interface MemoryQuestion {
  /** One prompt a row. */
  readonly prompts: readonly (readonly number[])[];
  readonly capacity: number;
  readonly rank: number;
}

export interface MemoryAnswer {
  /** With one row and one adapter gone through it, so that all sessions are loaded. */
  readonly idleBytes: number;
  /** KV memory of one row and what its batch needs. */
  readonly bytesPerRow: number;
  /** An adapter in host memory, used by no row. */
  readonly bytesPerAdapter: number;
  /** What a row takes more when it has an adapter of its own. */
  readonly bytesPerRowWithAdapter: number;
}

export interface MemoryOptions {
  readonly precision: string;
  readonly threadCount: number;
  readonly maxRows: number;
}

await serveChild<MemoryOptions, MemoryQuestion, MemoryAnswer>(async ({ precision, threadCount, maxRows }) => {
  const model = await openSubject();
  const prefillPrecision = 'auto';
  const limits = { threadCount, maxRows, maxContext: 2048 };
  const executor = await openSubjectExecutor(model, { precision: precision as Precision, prefillPrecision, ...limits });
  return async ({ prompts, capacity, rank }) => {
    const adapterOf = (seed: number) => randomAdapter(model.description, rank, seed);
    const rows = (adapters: readonly NewRow['adapter'][]): readonly NewRow[] =>
      prompts.map((prompt, row) => ({ row, prompt, capacity, adapter: adapters[row] ?? null }));
    while (executor.prepareNext());
    withRows(executor, rows([adapterOf(0)]).slice(0, 1), capacity, () => 0);
    const idleBytes = residentBytes();
    const filledBytes = withRows(executor, rows([]), capacity, residentBytes);
    const emptiedBytes = residentBytes();
    const adapters = prompts.map((_, seed) => adapterOf(seed));
    const heldBytes = residentBytes();
    const mixedBytes = withRows(executor, rows(adapters), capacity, residentBytes);
    const each = (bytes: number): number => bytes / prompts.length;
    return {
      idleBytes,
      bytesPerRow: each(filledBytes - idleBytes),
      bytesPerAdapter: each(heldBytes - emptiedBytes),
      bytesPerRowWithAdapter: each(mixedBytes - heldBytes - (filledBytes - idleBytes)),
    };
  };
});

/** Fills rows, decodes one token of each, and asks while they are there. */
function withRows<T>(executor: ModelExecutor, newRows: readonly NewRow[], capacity: number, ask: () => T): T {
  const rows = newRows.map((row) => addFilledRow(executor, row));
  decodeStep(executor, rows, capacity);
  const answer = ask();
  for (const { row } of rows) executor.removeRow(row);
  return answer;
}

function residentBytes(): number {
  global.gc?.();
  return process.memoryUsage.rss();
}
