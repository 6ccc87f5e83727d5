// The time of a decode step by a merged adapter against that of the base without one, in pairs measured one after the other.
import type { PackedAdapter } from '../../../src/adapters/packed.ts';
import type { ModelExecutor } from '../../../src/engine/index.ts';
import { MERGED } from './subject.ts';

const CAPACITY = 512;
const PROMPT_TOKENS = 64;
const WARM_UP_PAIRS = 20;

export interface StepTimes {
  /** Milliseconds of each pair's calls. */
  readonly base: readonly number[];
  readonly merged: readonly number[];
  readonly side: readonly number[];
}

interface Group {
  readonly rows: readonly number[];
  readonly merged: typeof MERGED | null;
}

/** Rows of three kinds live side by side at the same positions; each round runs one call of each kind, in an order that goes round. */
export function stepTimes(
  executor: ModelExecutor,
  adapter: PackedAdapter,
  tokenIds: readonly number[],
  { rowCount, pairs }: { readonly rowCount: number; readonly pairs: number },
): StepTimes {
  const rowsFrom = (first: number): number[] => Array.from({ length: rowCount }, (_, index) => first + index);
  const groups: Record<keyof StepTimes, Group> = {
    base: { rows: rowsFrom(0), merged: null },
    merged: { rows: rowsFrom(rowCount), merged: MERGED },
    side: { rows: rowsFrom(2 * rowCount), merged: null },
  };
  for (const [kind, group] of Object.entries(groups)) addRows(executor, group, kind === 'side' ? adapter : null, tokenIds);
  const times = { base: [] as number[], merged: [] as number[], side: [] as number[] };
  const kinds = ['base', 'merged', 'side'] as const;
  let position = PROMPT_TOKENS;
  for (let pair = -WARM_UP_PAIRS; pair < pairs; pair += 1) {
    for (let turn = 0; turn < kinds.length; turn += 1) {
      const kind = kinds[(turn + pair + WARM_UP_PAIRS) % kinds.length] ?? 'base';
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
