// Rows of our executor that decode greedily: what the engine does for each of its requests, without scheduler and messages.
import type { PackedAdapter } from '../../../src/adapters/packed.ts';
import type { ModelExecutor } from '../../../src/engine/index.ts';

/** As the server cuts prompts by default. */
export const PREFILL_CHUNK_TOKENS = 256;

export interface DecodingRow {
  readonly row: number;
  readonly promptLength: number;
  readonly produced: number[];
}

export interface NewRow {
  readonly row: number;
  readonly prompt: readonly number[];
  readonly capacity: number;
  readonly adapter: PackedAdapter | null;
}

/** A row with its prompt in the cache and its first token chosen. */
export function addFilledRow(executor: ModelExecutor, { row, prompt, capacity, adapter }: NewRow): DecodingRow {
  executor.addRow(row, capacity, adapter);
  return { row, promptLength: prompt.length, produced: [fill(executor, row, prompt)] };
}

/** Answers the most likely next token. */
export function fill(executor: ModelExecutor, row: number, prompt: readonly number[]): number {
  let next = 0;
  for (let start = 0; start < prompt.length; start += PREFILL_CHUNK_TOKENS) {
    const tokenIds = prompt.slice(start, start + PREFILL_CHUNK_TOKENS);
    const isLast = start + PREFILL_CHUNK_TOKENS >= prompt.length;
    const line = executor.run({ kind: 'prefill', row, tokenIds, startPosition: start, logits: isLast ? 'last' : 'none' });
    if (isLast) next = argmax(line);
  }
  return next;
}

/** One token for every row. */
export function decodeStep(executor: ModelExecutor, rows: readonly DecodingRow[], capacity: number): void {
  const { vocabularySize } = executor.shape;
  const calls = rows.map(({ row, promptLength, produced }) => ({
    row,
    tokenId: produced.at(-1) ?? 0,
    position: promptLength + produced.length - 1,
  }));
  const logits = executor.run({ kind: 'decode', capacity, rows: calls });
  rows.forEach(({ produced }, index) => produced.push(argmax(logits.subarray(index * vocabularySize, (index + 1) * vocabularySize))));
}

function argmax(logits: Float32Array): number {
  let best = 0;
  for (let index = 1; index < logits.length; index++) if ((logits[index] ?? 0) > (logits[best] ?? 0)) best = index;
  return best;
}
