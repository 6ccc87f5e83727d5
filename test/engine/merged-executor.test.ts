// Merged sessions on the runtime over the tiny model: rows that change sides get what they would get alone beside the base.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createOrtExecutor } from '../../src/engine/executor/index.ts';
import { BLOCK_POSITIONS, type ModelExecutor } from '../../src/engine/index.ts';
import { type CompiledModel, ensureCompiled, importModel, type ModelPackage } from '../../src/models/index.ts';
import { fixtureAdapter } from '../support/adapter-files.ts';
import { mergedFormsOf, packFixture, type PackedFixture } from '../support/merged-forms.ts';
import { fixturePath } from '../support/repository.ts';
import { distance } from '../support/log-probabilities.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { LOGPROB_FP32 } from '../support/tolerances.ts';

const CAPACITY = 64;
const MAX_ROWS = 4;
/** Linears with patterns of ranks, and gains, embedding and head. */
const FIXTURES = ['linears-r4-patterns', 'dora-embedding-linears-head'] as const;

const folder = temporaryFolder();
let base: ModelPackage;
let compiled: CompiledModel;
let fixtures: readonly PackedFixture[];
let executor: ModelExecutor;
let alone: ModelExecutor;

function openExecutor(formsFolder = join(folder, 'merged')): ModelExecutor {
  const mergedForms = mergedFormsOf(base, compiled, formsFolder, (digest) => {
    const found = fixtures.find((fixture) => fixture.digest === digest);
    if (!found) throw new Error(`no fixture ${digest}`);
    return found.adapter;
  });
  return createOrtExecutor({ model: compiled, mergedForms, threadCount: 1, allowSpinning: false, maxRows: MAX_ROWS, maxContext: 128 });
}

beforeAll(async () => {
  base = await importModel({ source: fixturePath('tiny-llama'), id: 'tiny', modelsDir: join(folder, 'models') });
  compiled = await ensureCompiled(base, 'fp32');
  fixtures = await Promise.all(FIXTURES.map((name) => packFixture(fixtureAdapter(`tiny-adapters/${name}`), base)));
  executor = openExecutor();
  alone = openExecutor();
});

afterAll(() => {
  executor.close();
  alone.close();
});

async function load(one: ModelExecutor, { digest }: PackedFixture): Promise<void> {
  await one.prepareMerged(digest);
  await one.loadMerged(digest);
}

/** Logits after the last token, beside the base. */
function expected(tokens: readonly number[], { adapter }: PackedFixture): Float32Array {
  alone.addRow(0, CAPACITY, adapter);
  const logits = alone.run({ kind: 'prefill', row: 0, tokenIds: tokens, startPosition: 0, logits: 'last' }).slice();
  alone.removeRow(0);
  return logits;
}

function uniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

interface LiveRow {
  readonly row: number;
  readonly fixture: PackedFixture;
  readonly tokens: number[];
  merged: boolean;
}

/** Rows of both adapters decode in calls of both kinds and change sides at random; answers the largest distance from what each gets alone. */
function runSchedule(seed: number, stepCount: number): { readonly worst: number; readonly moves: number } {
  const random = uniform(seed);
  const pick = (count: number): number => Math.floor(random() * count);
  const { vocabularySize } = base.description;
  let [worst, moves] = [0, 0];
  const live = Array.from({ length: MAX_ROWS }, (_, row): LiveRow => {
    const fixture = fixtures[row % fixtures.length];
    if (!fixture) throw new Error('there are no fixtures');
    const tokens = Array.from({ length: 3 + pick(6) }, () => pick(vocabularySize));
    return { row, fixture, tokens, merged: random() < 0.5 };
  });
  const take = ({ tokens, fixture }: LiveRow, logits: Float32Array): void => {
    worst = Math.max(worst, distance(logits, expected(tokens, fixture)));
    tokens.push(pick(vocabularySize));
  };
  for (const each of live) {
    executor.addRow(each.row, CAPACITY, each.fixture.adapter, each.merged ? each.fixture.digest : null);
    take(each, executor.run({ kind: 'prefill', row: each.row, tokenIds: each.tokens, startPosition: 0, logits: 'last' }).slice());
  }
  for (let step = 0; step < stepCount; step += 1) {
    const moved = live[pick(live.length)];
    if (moved && random() < 0.4) {
      moved.merged = !moved.merged;
      moves += 1;
      executor.moveRow(moved.row, moved.fixture.adapter, moved.merged ? moved.fixture.digest : null, moved.tokens.length - 1);
    }
    const merged = [null, ...fixtures.map(({ digest }) => digest)][pick(fixtures.length + 1)] ?? null;
    const members = live.filter((each) => (each.merged ? each.fixture.digest : null) === merged && random() < 0.8);
    if (members.length === 0) continue;
    const rows = members.map(({ row, tokens }) => ({ row, tokenId: tokens.at(-1) ?? 0, position: tokens.length - 1 }));
    const logits = executor.run({ kind: 'decode', capacity: CAPACITY, merged, rows }).slice();
    members.forEach((each, index) => take(each, logits.subarray(index * vocabularySize, (index + 1) * vocabularySize)));
  }
  for (const { row } of live) executor.removeRow(row);
  return { worst, moves };
}

describe('merged sessions', () => {
  it('give rows that change sides at any time what they get alone', async () => {
    for (const fixture of fixtures) await load(executor, fixture);
    let moves = 0;
    for (let seed = 1; seed <= 40; seed += 1) {
      const schedule = runSchedule(seed, 40);
      moves += schedule.moves;
      expect(schedule.worst, `schedule ${seed}`).toBeLessThan(LOGPROB_FP32);
    }
    expect(moves).toBeGreaterThan(300);
    for (const { digest } of fixtures) executor.dropMerged(digest);
  });

  it('go on from blocks that the side path computed, and the other way round', async () => {
    const [fixture] = fixtures;
    if (!fixture) throw new Error('there are no fixtures');
    await load(executor, fixture);
    const tokens = Array.from({ length: BLOCK_POSITIONS + 4 }, (_, index) => (index * 37) % base.description.vocabularySize);
    const ways = [fixture.digest, null];
    for (const [slot, way] of ways.entries()) {
      executor.addRow(1, CAPACITY, fixture.adapter, way);
      executor.run({ kind: 'prefill', row: 1, tokenIds: tokens, startPosition: 0, logits: 'none' });
      executor.saveBlock(1, 0, slot);
      executor.removeRow(1);
      executor.addRow(2, CAPACITY, fixture.adapter, ways[1 - slot] ?? null);
      executor.restoreBlock(2, 0, slot);
      const rest = { tokenIds: tokens.slice(BLOCK_POSITIONS), startPosition: BLOCK_POSITIONS } as const;
      const logits = executor.run({ kind: 'prefill', row: 2, ...rest, logits: 'last' });
      expect(distance(logits, expected(tokens, fixture))).toBeLessThan(LOGPROB_FP32);
      executor.removeRow(2);
    }
    executor.dropMerged(fixture.digest);
  });

  it('give every native object back, and are not dropped under their rows', async () => {
    const [fixture] = fixtures;
    if (!fixture) throw new Error('there are no fixtures');
    const before = executor.liveHandles();
    for (let round = 0; round < 5; round += 1) {
      await load(executor, fixture);
      executor.addRow(1, CAPACITY, null, fixture.digest);
      executor.run({ kind: 'prefill', row: 1, tokenIds: [1, 2, 3], startPosition: 0, logits: 'last' });
      expect(() => executor.dropMerged(fixture.digest)).toThrow('rows are still computed');
      executor.removeRow(1);
      executor.dropMerged(fixture.digest);
      expect(executor.liveHandles()).toBe(before);
    }
    expect(() => executor.addRow(1, CAPACITY, null, fixture.digest)).toThrow('is not merged');
  });

  it('outlive their files, which are made again when they are gone', async () => {
    const [fixture] = fixtures;
    if (!fixture) throw new Error('there are no fixtures');
    const own = join(folder, 'removed');
    const one = openExecutor(own);
    await load(one, fixture);
    rmSync(own, { recursive: true });
    const run = (): Float32Array => {
      one.addRow(1, CAPACITY, null, fixture.digest);
      const logits = one.run({ kind: 'prefill', row: 1, tokenIds: [7, 8, 9], startPosition: 0, logits: 'last' }).slice();
      one.removeRow(1);
      return logits;
    };
    expect(distance(run(), expected([7, 8, 9], fixture))).toBeLessThan(LOGPROB_FP32);
    one.dropMerged(fixture.digest);
    await load(one, fixture);
    expect(distance(run(), expected([7, 8, 9], fixture))).toBeLessThan(LOGPROB_FP32);
    one.close();
  });

  it('may still be in the making when the executor is closed', async () => {
    const [fixture] = fixtures;
    if (!fixture) throw new Error('there are no fixtures');
    const before = executor.liveHandles();
    const one = openExecutor();
    await one.prepareMerged(fixture.digest);
    const loading = one.loadMerged(fixture.digest);
    one.close();
    await expect(loading).rejects.toThrow('closed');
    await new Promise(setImmediate);
    expect(executor.liveHandles()).toBe(before);
  });
});
