// The time of a decode step by a merged adapter against that of the base without one, in pairs measured one after the other.
import type { PackedAdapter } from '../../../src/adapters/packed.ts';
import type { ModelExecutor } from '../../../src/engine/index.ts';
import { MERGED } from './subject.ts';

const CAPACITY = 512;
const PROMPT_TOKENS = 64;
const WARM_UP_PAIRS = 20;

/** Milliseconds of each pair's two calls. */
export interface StepPairs {
  readonly base: readonly number[];
  readonly other: readonly number[];
}

interface Group {
  readonly rows: readonly number[];
  readonly merged: typeof MERGED | null;
}

export interface StepNeeds {
  readonly adapter: PackedAdapter;
  readonly tokenIds: readonly number[];
  readonly rowCount: number;
  readonly pairs: number;
}

/**
 * Rows of the base and of the other kind live side by side at the same positions; each pair runs one call of each, in turns first. Only two
 * kinds at a time: what a third one leaves in the processor's caches would favour one of them.
 */
export function stepPairs(executor: ModelExecutor, other: 'merged' | 'side', needs: StepNeeds): StepPairs {
  const { adapter, tokenIds, rowCount, pairs } = needs;
  const rowsFrom = (first: number): number[] => Array.from({ length: rowCount }, (_, index) => first + index);
  const groups = {
    base: { rows: rowsFrom(0), merged: null },
    other: { rows: rowsFrom(rowCount), merged: other === 'merged' ? MERGED : null },
  } as const;
  addRows(executor, groups.base, null, tokenIds);
  addRows(executor, groups.other, other === 'side' ? adapter : null, tokenIds);
  const times = { base: [] as number[], other: [] as number[] };
  let position = PROMPT_TOKENS;
  for (let pair = -WARM_UP_PAIRS; pair < pairs; pair += 1) {
    for (const kind of pair % 2 === 0 ? (['base', 'other'] as const) : (['other', 'base'] as const)) {
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

function addRows(executor: ModelExecutor, { rows, merged }: Group, adapter: PackedAdapter | null, tokenIds: readonly number[]): void {
  for (const row of rows) {
    executor.addRow(row, CAPACITY, adapter, merged);
    executor.run({ kind: 'prefill', row, tokenIds: tokenIds.slice(0, PROMPT_TOKENS), startPosition: 0, logits: 'none' });
  }
}
