// Our side: the executor that the engine drives, greedy, with its sampling inside the timed part.
import type { PackedAdapter } from '../../../src/adapters/packed.ts';
import type { OrtModelExecutor } from '../../../src/engine/executor/index.ts';
import type { Precision } from '../../../src/models/index.ts';
import { randomAdapter } from '../random-adapter.ts';
import { openSubject, openSubjectExecutor } from '../subject.ts';
import { addFilledRow, type DecodingRow, decodeStep, fill, PREFILL_CHUNK_TOKENS } from './our-rows.ts';
import type { AdapterMix, Answer, DecodeWorkload, PrefillWorkload, SideOptions, Workload } from './protocol.ts';
import { serveChild } from './serve-child.ts';

/** KV memory comes in capacities like the server's. */
const SMALL_CAPACITY = 512;
const LARGE_CAPACITY = 2048;

type AdapterOf = (mix: AdapterMix, row: number) => PackedAdapter;

await serveChild<SideOptions, Workload, Answer>(async ({ precision, threadCount, maxRows }) => {
  const model = await openSubject();
  const executor = await openSubjectExecutor(model, {
    precision: precision as Precision,
    prefillPrecision: 'auto',
    threadCount,
    maxRows,
    maxContext: LARGE_CAPACITY,
  });
  // As an engine does while nobody asks for anything.
  while (executor.prepareNext());
  const made = new Map<string, PackedAdapter>();
  const adapterOf: AdapterOf = ({ count, rank }, row) => {
    const key = `${row % count} ${rank}`;
    const adapter = made.get(key) ?? randomAdapter(model.description, rank, row % count);
    made.set(key, adapter);
    return adapter;
  };
  return async (workload) => (workload.kind === 'prefill' ? prefill(executor, workload) : decode(executor, workload, adapterOf));
});

function prefill(executor: OrtModelExecutor, { prompt, repeats }: PrefillWorkload): Answer {
  const capacity = prompt.length < SMALL_CAPACITY ? SMALL_CAPACITY : LARGE_CAPACITY;
  let elapsedMs = 0;
  for (let repeat = -1; repeat < repeats; repeat++) {
    executor.addRow(0, capacity, null);
    const startedMs = performance.now();
    fill(executor, 0, prompt);
    // The first run only warms up.
    if (repeat >= 0) elapsedMs += performance.now() - startedMs;
    executor.removeRow(0);
  }
  return {
    kind: 'measured',
    tokensPerSecond: (prompt.length * repeats * 1000) / elapsedMs,
    firstRowTokenIds: [],
    form: executor.formFor('none', Math.min(prompt.length, PREFILL_CHUNK_TOKENS)),
  };
}

function decode(executor: OrtModelExecutor, workload: DecodeWorkload, adapterOf: AdapterOf): Answer {
  const { prompts, warmUpTokens, timedTokens, adapters } = workload;
  const rows: DecodingRow[] = prompts.map((prompt, row) =>
    addFilledRow(executor, { row, prompt, capacity: SMALL_CAPACITY, adapter: adapters && adapterOf(adapters, row) }),
  );
  for (let count = 0; count < warmUpTokens; count++) decodeStep(executor, rows, SMALL_CAPACITY);
  const startedMs = performance.now();
  for (let count = 0; count < timedTokens; count++) decodeStep(executor, rows, SMALL_CAPACITY);
  const elapsedMs = performance.now() - startedMs;
  for (const { row } of rows) executor.removeRow(row);
  const tokensPerSecond = (rows.length * timedTokens * 1000) / elapsedMs;
  return {
    kind: 'measured',
    tokensPerSecond,
    firstRowTokenIds: rows[0]?.produced ?? [],
    form: executor.formFor(adapters ? 'linear' : 'none', rows.length),
  };
}
