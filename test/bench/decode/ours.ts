// Our side, in a process of its own: the executor that the engine drives, greedy, with its sampling inside the timed part.
import type { PackedAdapter } from '../../../src/adapters/packed.ts';
import type { ModelExecutor } from '../../../src/engine/index.ts';
import { openSubject, openSubjectExecutor } from '../subject.ts';
import type { SideOptions, Workload } from './protocol.ts';
import { randomAdapter } from './random-adapter.ts';
import { type Measurement, serveSide, type Side } from './serve-side.ts';

const PREFILL_CHUNK_TOKENS = 128;
const ADAPTER_RANK = 16;

async function openOurs({ precision, threadCount, maxRows, capacity }: SideOptions): Promise<Side> {
  const model = await openSubject();
  const executor = await openSubjectExecutor(model, { precision, prefillPrecision: 'auto', threadCount, maxRows, maxContext: capacity });
  let adapters: readonly PackedAdapter[] = [];
  const adapterOf = (row: number): PackedAdapter | null => {
    if (adapters.length === 0)
      adapters = Array.from({ length: maxRows }, (_, seed) => randomAdapter(model.description, ADAPTER_RANK, seed));
    return adapters[row] ?? null;
  };
  return {
    async measure(workload) {
      return workload.kind === 'prefill' ? prefill(executor, capacity, workload) : decode(executor, capacity, workload, adapterOf);
    },
  };
}

function prefill(executor: ModelExecutor, capacity: number, { prompt, repeats }: Workload & { kind: 'prefill' }): Measurement {
  let elapsedMs = 0;
  for (let repeat = -1; repeat < repeats; repeat++) {
    executor.addRow(0, capacity, null);
    const startedMs = performance.now();
    fill(executor, 0, prompt);
    // The first run only warms up.
    if (repeat >= 0) elapsedMs += performance.now() - startedMs;
    executor.removeRow(0);
  }
  return { tokensPerSecond: (prompt.length * repeats * 1000) / elapsedMs, firstRowTokenIds: [] };
}

/** Answers the most likely next token. */
function fill(executor: ModelExecutor, row: number, prompt: readonly number[]): number {
  let next = 0;
  for (let start = 0; start < prompt.length; start += PREFILL_CHUNK_TOKENS) {
    const tokenIds = prompt.slice(start, start + PREFILL_CHUNK_TOKENS);
    next = argmax(executor.run({ kind: 'prefill', row, tokenIds, startPosition: start, logits: 'last' }));
  }
  return next;
}

function decode(
  executor: ModelExecutor,
  capacity: number,
  { prompts, warmUpTokens, timedTokens, withAdapters }: Workload & { kind: 'decode' },
  adapterOf: (row: number) => PackedAdapter | null,
): Measurement {
  const { vocabularySize } = executor.shape;
  const tokenIds = prompts.map((prompt, row) => {
    executor.addRow(row, capacity, withAdapters ? adapterOf(row) : null);
    return [fill(executor, row, prompt)];
  });
  const step = (): void => {
    const rows = tokenIds.map((produced, row) => ({
      row,
      tokenId: produced.at(-1) ?? 0,
      position: (prompts[row]?.length ?? 0) + produced.length - 1,
    }));
    const logits = executor.run({ kind: 'decode', capacity, rows });
    tokenIds.forEach((produced, row) => produced.push(argmax(logits.subarray(row * vocabularySize, (row + 1) * vocabularySize))));
  };
  for (let count = 0; count < warmUpTokens; count++) step();
  const startedMs = performance.now();
  for (let count = 0; count < timedTokens; count++) step();
  const elapsedMs = performance.now() - startedMs;
  prompts.forEach((_, row) => executor.removeRow(row));
  return { tokensPerSecond: (prompts.length * timedTokens * 1000) / elapsedMs, firstRowTokenIds: tokenIds[0] ?? [] };
}

function argmax(logits: Float32Array): number {
  let best = 0;
  for (let index = 1; index < logits.length; index++) if ((logits[index] ?? 0) > (logits[best] ?? 0)) best = index;
  return best;
}

await serveSide(openOurs);
