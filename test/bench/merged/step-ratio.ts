// The time of a decode step by a merged adapter against that of the base without one, in pairs measured one after the other.
import type { ModelExecutor } from '../../../src/engine/index.ts';
import { MERGED } from './subject.ts';

const CAPACITY = 512;
const PROMPT_TOKENS = 64;
const WARM_UP_PAIRS = 20;

/** Milliseconds of each pair's two calls. */
export interface StepPairs {
  readonly base: readonly number[];
  readonly merged: readonly number[];
}

interface Group {
  readonly rows: readonly number[];
  readonly merged: typeof MERGED | null;
}

export interface StepNeeds {
  readonly tokenIds: readonly number[];
  readonly rowCount: number;
  readonly pairs: number;
}

/**
 * Rows of the base and merged rows live side by side at the same positions; each pair runs one call of each, in turns first. Not for the side
 * path: a call over its rows covers those of the base too, which share its lanes.
 */
export function stepPairs(executor: ModelExecutor, { tokenIds, rowCount, pairs }: StepNeeds): StepPairs {
  const rowsFrom = (first: number): number[] => Array.from({ length: rowCount }, (_, index) => first + index);
  const groups = {
    base: { rows: rowsFrom(0), merged: null },
    merged: { rows: rowsFrom(rowCount), merged: MERGED },
  } as const;
  for (const group of Object.values(groups)) addRows(executor, group, tokenIds);
  const times = { base: [] as number[], merged: [] as number[] };
  let position = PROMPT_TOKENS;
  for (let pair = -WARM_UP_PAIRS; pair < pairs; pair += 1) {
    for (const kind of pair % 2 === 0 ? (['base', 'merged'] as const) : (['merged', 'base'] as const)) {
      const { rows, merged } = groups[kind];
      const startMs = performance.now();
      executor.run({
        kind: 'decode',
        capacity: CAPACITY,
        merged,
        rows: rows.map((row) => ({ row, tokenId: tokenIds[row] ?? 0, position })),
      });
      if (pair >= 0) times[kind].push(performance.now() - startMs);
    }
    // Long before the capacity the rows go back: costs grow with the position.
    position = position + 1 < PROMPT_TOKENS + 128 ? position + 1 : PROMPT_TOKENS;
  }
  for (const { rows } of Object.values(groups)) for (const row of rows) executor.removeRow(row);
  return times;
}

function addRows(executor: ModelExecutor, { rows, merged }: Group, tokenIds: readonly number[]): void {
  for (const row of rows) {
    executor.addRow(row, CAPACITY, null, merged);
    executor.run({ kind: 'prefill', row, tokenIds: tokenIds.slice(0, PROMPT_TOKENS), startPosition: 0, logits: 'none' });
  }
}
