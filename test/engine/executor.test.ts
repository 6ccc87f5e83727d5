// The executor over the tiny model: whatever rows share a call, and however they moved before, each gets what it would get alone.
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PackedAdapter } from '../../src/adapters/packed.ts';
import { createOrtExecutor } from '../../src/engine/executor/index.ts';
import type { ModelExecutor } from '../../src/engine/index.ts';
import { calibrate } from '../../src/models/calibration/index.ts';
import { type CompiledModel, ensureCompiled, importModel, type ModelPackage, openCompiled } from '../../src/models/index.ts';
import { fixturePath } from '../support/repository.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { KL_INT8_KV, LOGPROB_FP32, LOGPROB_INT8_KV } from '../support/tolerances.ts';
import { distance, logProbabilities } from '../support/log-probabilities.ts';
import { randomAdapter, seeded } from './random-packed.ts';

const MAX_ROWS = 6;
const CAPACITIES = [32, 128] as const;

/** Actions of a schedule, as often as they are drawn: join, prefill, decode, mixed, grow, leave. */
const WITH_MIXED = [0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 5];
const WITHOUT_MIXED = [0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 2, 4, 5];

interface LiveRow {
  readonly row: number;
  readonly adapter: PackedAdapter | null;
  readonly tokens: number[];
  capacity: number;
  processed: number;
}

const folder = temporaryFolder();
let base: ModelPackage;
let compiled: CompiledModel;
let adapters: readonly (PackedAdapter | null)[];
let shared: ModelExecutor;
let alone: ModelExecutor;

beforeAll(async () => {
  base = await importModel({ source: fixturePath('tiny-llama'), id: 'tiny', modelsDir: join(folder, 'models') });
  compiled = await ensureCompiled(base, 'fp32');
  const options = { model: compiled, threadCount: 1, allowSpinning: false, maxRows: MAX_ROWS, maxContext: 256 };
  shared = createOrtExecutor(options);
  alone = createOrtExecutor(options);
  adapters = [
    null,
    randomAdapter(base, 1, { linears: ['q', 'v'], extras: false }),
    randomAdapter(base, 2, { linears: ['q', 'k', 'v', 'o', 'gate', 'up', 'down'], extras: false }),
    randomAdapter(base, 3, { linears: ['down', 'k'], extras: true }),
    randomAdapter(base, 4, { linears: [], extras: true }),
  ];
});

afterAll(() => {
  shared.close();
  alone.close();
});

/** Logits after the last token of a fresh row that nobody shares. */
function expected({ tokens, adapter }: Pick<LiveRow, 'tokens' | 'adapter'>, executor: ModelExecutor = alone): Float32Array {
  executor.addRow(0, 128, adapter);
  const logits = executor.run({ kind: 'prefill', row: 0, tokenIds: tokens, startPosition: 0, logits: 'last' }).slice();
  executor.removeRow(0);
  return logits;
}

/** One random schedule; answers the largest distance of any row's log probabilities from those alone. */
function runSchedule(
  seed: number,
  stepCount: number,
  executor: ModelExecutor = shared,
  reference: ModelExecutor = alone,
  frequencies = WITH_MIXED,
): number {
  const random = seeded(seed);
  const pick = (count: number): number => Math.floor(random() * count);
  const { vocabularySize } = base.description;
  const live: LiveRow[] = [];
  let nextRow = 1;
  let worst = 0;
  let lastChunk = 0;
  const compare = (row: LiveRow, logits: Float32Array): void => {
    row.processed = row.tokens.length;
    worst = Math.max(worst, distance(logits, expected(row, reference)));
    row.tokens.push(pick(vocabularySize));
  };
  const isUnread = ({ processed, tokens }: LiveRow): boolean => processed < tokens.length - 1 || processed === 0;
  const chunkOf = ({ row, tokens, processed }: LiveRow) => {
    const tokenIds = tokens.slice(processed, processed + 1 + pick(8));
    const isLast = processed + tokenIds.length === tokens.length;
    lastChunk = tokenIds.length;
    return { kind: 'prefill', row, tokenIds, startPosition: processed, logits: isLast ? 'last' : 'none' } as const;
  };
  const readMore = (row: LiveRow, logits: Float32Array): void => {
    if (row.processed + lastChunk === row.tokens.length) compare(row, logits);
    else row.processed += lastChunk;
  };
  const decoding = (capacity: number): readonly LiveRow[] =>
    live.filter(
      (row) => row.capacity === capacity && row.processed === row.tokens.length - 1 && row.processed > 0 && row.processed < capacity,
    );
  const decodeCall = (ready: readonly LiveRow[], capacity: number) => {
    const rows = ready.map(({ row, tokens, processed }) => ({ row, tokenId: tokens[processed] ?? 0, position: processed }));
    return { kind: 'decode', capacity, rows } as const;
  };
  const takeLines = (ready: readonly LiveRow[], logits: Float32Array): void =>
    ready.forEach((row, index) => compare(row, logits.slice(index * vocabularySize, (index + 1) * vocabularySize)));
  const actions = [
    () => {
      if (live.length === MAX_ROWS) return;
      const tokens = Array.from({ length: 1 + pick(12) }, () => pick(vocabularySize));
      const row: LiveRow = {
        row: nextRow++,
        adapter: adapters[pick(adapters.length)] ?? null,
        tokens,
        capacity: CAPACITIES[pick(2)] ?? 32,
        processed: 0,
      };
      executor.addRow(row.row, row.capacity, row.adapter);
      live.push(row);
    },
    () => {
      const row = live.find(isUnread);
      if (row) readMore(row, executor.run(chunkOf(row)));
    },
    () => {
      const capacity = CAPACITIES[pick(2)] ?? 32;
      const ready = decoding(capacity);
      if (ready.length > 0) takeLines(ready, executor.run(decodeCall(ready, capacity)));
    },
    () => {
      const capacity = CAPACITIES[pick(2)] ?? 32;
      const canMix = ({ adapter }: LiveRow): boolean => executor.canMix(adapter);
      const ready = decoding(capacity);
      const row = live.find((candidate) => isUnread(candidate) && canMix(candidate) && !ready.includes(candidate));
      if (!row || ready.length === 0 || !ready.every(canMix)) return;
      const logits = executor.run({ kind: 'mixed', decode: decodeCall(ready, capacity), prefill: chunkOf(row) }).slice();
      takeLines(ready, logits);
      readMore(row, logits.subarray(ready.length * vocabularySize));
    },
    () => {
      const row = live.find(({ capacity, processed }) => capacity === 32 && processed > 4);
      if (!row) return;
      executor.growRow(row.row, 128, row.processed);
      row.capacity = 128;
    },
    () => {
      const index = pick(live.length + 2);
      const row = live[index];
      if (!row) return;
      executor.removeRow(row.row);
      live.splice(index, 1);
    },
  ];
  for (let step = 0; step < stepCount; step++) {
    for (const row of live.filter(({ capacity, tokens }) => tokens.length >= capacity)) {
      executor.removeRow(row.row);
      live.splice(live.indexOf(row), 1);
    }
    actions[frequencies[pick(frequencies.length)] ?? 0]?.();
  }
  for (const { row } of live) executor.removeRow(row);
  return worst;
}

describe('the executor', () => {
  it('gives every row of 100 random schedules what it gets alone', () => {
    for (let seed = 1; seed <= 100; seed++) expect(runSchedule(seed, 60), `schedule ${seed}`).toBeLessThan(LOGPROB_FP32);
  });

  it('gives the same over an int8 cache, in a quarter of the memory, near what a float32 cache gives', async () => {
    await calibrate(base, { threadCount: 1 });
    const model = await openCompiled(base.folder, 'fp32', 'int8');
    if (!model) throw new Error('the compiled form is not there');
    const options = { model, threadCount: 1, allowSpinning: false, maxRows: MAX_ROWS, maxContext: 256 };
    const [quantised, quantisedAlone] = [createOrtExecutor(options), createOrtExecutor(options)];
    expect(4 * quantised.shape.kvBytesPerPosition).toBe(shared.shape.kvBytesPerPosition);
    const distances = Array.from({ length: 20 }, (_, index) => runSchedule(index + 1, 60, quantised, quantisedAlone, WITHOUT_MIXED));
    expect(Math.max(...distances)).toBeLessThan(LOGPROB_INT8_KV);
    const mixed = Array.from({ length: 20 }, (_, index) => runSchedule(index + 1, 60, quantised, quantisedAlone));
    // Where a product rounds to the next level is chance; that it hardly ever does is not.
    expect(mixed.filter((one) => one > LOGPROB_FP32).length).toBeLessThanOrEqual(1);
    const row = { tokens: Array.from({ length: 100 }, (_, index) => (index * 7) % base.description.vocabularySize), adapter: null };
    const [exact, near] = [logProbabilities(expected(row)), logProbabilities(expected(row, quantised))];
    const divergence = exact.reduce((sum, value, id) => sum + Math.exp(value) * (value - (near[id] ?? Infinity)), 0);
    expect(divergence).toBeLessThan(KL_INT8_KV);
    expect(divergence).toBeGreaterThan(0);
    quantised.close();
    quantisedAlone.close();
    expect(() => createOrtExecutor({ ...options, secondModel: compiled })).toThrow('one keeps it in int8 and the other in float32');
  });

  it('gives rows that all use one adapter, read once for all, what each gets alone', () => {
    for (const adapter of adapters.slice(1)) {
      const rows = Array.from({ length: MAX_ROWS }, (_, row) => ({ row, tokens: [5 + row, 9, 40 - row], adapter }));
      for (const { row, tokens } of rows) {
        shared.addRow(row, 32, adapter);
        shared.run({ kind: 'prefill', row, tokenIds: tokens.slice(0, 2), startPosition: 0, logits: 'none' });
      }
      const next = rows.map(({ row, tokens }) => ({ row, tokenId: tokens[2] ?? 0, position: 2 }));
      const logits = shared.run({ kind: 'decode', capacity: 32, rows: next }).slice();
      const { vocabularySize } = base.description;
      for (const { row, tokens } of rows) {
        const line = logits.subarray(row * vocabularySize, (row + 1) * vocabularySize);
        expect(distance(line, expected({ tokens, adapter })), `row ${row}`).toBeLessThan(LOGPROB_FP32);
        shared.removeRow(row);
      }
    }
  });

  it('changes results through every adapter', () => {
    const logits = adapters.map((adapter) => expected({ adapter, tokens: [5, 9, 40] }));
    for (const changed of logits.slice(1)) expect(distance(changed, logits[0] ?? changed)).toBeGreaterThan(100 * LOGPROB_FP32);
  });

  it('holds no more native objects after the same schedules a second and a third time', () => {
    const handlesAfterAll = (): number => {
      for (let seed = 200; seed < 210; seed++) runSchedule(seed, 40);
      return shared.liveHandles();
    };
    const first = handlesAfterAll();
    expect(handlesAfterAll()).toBeLessThanOrEqual(first);
    expect(handlesAfterAll()).toBeLessThanOrEqual(first);
  });

  it('keeps a row that is still in prefill out of the way of decoding rows', () => {
    const adapter = adapters[2] ?? null;
    const early: LiveRow = { row: 1, adapter, tokens: [3, 4, 5, 6, 7, 8], capacity: 32, processed: 0 };
    const other: LiveRow = { row: 2, adapter: null, tokens: [9, 10], capacity: 32, processed: 0 };
    for (const { row, capacity, adapter: own } of [early, other]) shared.addRow(row, capacity, own);
    shared.run({ kind: 'prefill', row: 1, tokenIds: [3, 4, 5], startPosition: 0, logits: 'none' });
    shared.run({ kind: 'prefill', row: 2, tokenIds: [9, 10], startPosition: 0, logits: 'none' });
    other.tokens.push(11);
    const decoded = shared.run({ kind: 'decode', capacity: 32, rows: [{ row: 2, tokenId: 11, position: 2 }] }).slice();
    expect(distance(decoded, expected(other))).toBeLessThan(LOGPROB_FP32);
    const finished = shared.run({ kind: 'prefill', row: 1, tokenIds: [6, 7, 8], startPosition: 3, logits: 'last' });
    expect(distance(finished, expected(early))).toBeLessThan(LOGPROB_FP32);
    shared.removeRow(1);
    shared.removeRow(2);
  });

  it('gives rows of w8a8, whose side paths read levels, what they get alone, whatever ranks lie beside them', async () => {
    await calibrate(base, { threadCount: 1 });
    // The only row of a call has a range of its own levels: another rounding, compared in forms.test.ts.
    const model = { ...(await ensureCompiled(base, 'w8a8')), tokenGraphs: null };
    expect(model.graphs.linear.loraGroups.filter(({ inputs }) => inputs.scales !== undefined)).not.toHaveLength(0);
    const options = { model, threadCount: 1, allowSpinning: false, maxRows: MAX_ROWS, maxContext: 256 };
    const [together, byItself] = [createOrtExecutor(options), createOrtExecutor(options)];
    for (let seed = 300; seed < 320; seed++) expect(runSchedule(seed, 40, together, byItself), `seed ${seed}`).toBeLessThan(LOGPROB_FP32);
    for (const one of [together, byItself]) one.close();
  });
});
