// The executor over two forms of the tiny model that share cache and adapters, and over graphs for one token: which computes what.
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PackedAdapter } from '../../src/adapters/packed.ts';
import { createOrtExecutor } from '../../src/engine/executor/index.ts';
import type { ModelExecutor } from '../../src/engine/index.ts';
import { type Clock, hasInt8DotProduct, processorFlags } from '../../src/core/index.ts';
import { calibrate } from '../../src/models/calibration/index.ts';
import { type CompiledModel, ensureCompiled, importModel, type ModelPackage, openCompiled } from '../../src/models/index.ts';
import { fixturePath } from '../support/repository.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { LOGPROB_FP32, TOKEN_TO_ROWS } from '../support/tolerances.ts';
import { distance } from '../support/log-probabilities.ts';
import { randomAdapter } from './random-packed.ts';

const folder = temporaryFolder();
let base: ModelPackage;
let float: CompiledModel;
let adapters: readonly (PackedAdapter | null)[];
let alone: ModelExecutor;

beforeAll(async () => {
  base = await importModel({ source: fixturePath('tiny-llama'), id: 'tiny', modelsDir: join(folder, 'models') });
  float = await ensureCompiled(base, 'fp32');
  await calibrate(base, { threadCount: 1 });
  alone = createOrtExecutor({ model: float, threadCount: 1, allowSpinning: false, maxRows: 1, maxContext: 256 });
  adapters = [
    null,
    randomAdapter(base, 1, { linears: ['q', 'v'], extras: false }),
    randomAdapter(base, 2, { linears: ['q', 'k', 'v', 'o', 'gate', 'up', 'down'], extras: false }),
    randomAdapter(base, 3, { linears: ['down', 'k'], extras: true }),
  ];
});

afterAll(() => alone.close());

/** By which calls of the two forms in turns, first second, second first and so on, take so long. */
function trialClock(firstMs: number, secondMs: number): Clock {
  const durations = [firstMs, secondMs, secondMs, firstMs];
  let [nowMs, asked] = [0, 0];
  const monotonic = (): number => {
    // Every other question ends a call.
    if (asked++ % 2 === 1) nowMs += durations[(asked / 2 - 1) % durations.length] ?? 0;
    return nowMs;
  };
  return { monotonic, now: monotonic };
}

describe('the forms of an executor', () => {
  it('reads long prompts with the prefill form and the rest with the decode form, over one cache', async () => {
    const decodeForm = await ensureCompiled(base, 'int8');
    const common = { threadCount: 1, allowSpinning: false, maxRows: 1, maxContext: 256 };
    const both = createOrtExecutor({ ...common, model: decodeForm, secondModel: float });
    const decodeOnly = createOrtExecutor({ ...common, model: decodeForm });
    const adapter = adapters[2] ?? null;
    const tokens = Array.from({ length: 40 }, (_, index) => (index * 7) % base.description.vocabularySize);
    for (const one of [both, decodeOnly, alone]) one.addRow(0, 128, adapter);
    const prefill = (one: ModelExecutor, count: number): Float32Array =>
      one.run({ kind: 'prefill', row: 0, tokenIds: tokens.slice(0, count), startPosition: 0, logits: 'last' }).slice();
    expect(distance(prefill(both, 8), prefill(decodeOnly, 8))).toBeLessThan(LOGPROB_FP32);
    const long = prefill(both, 40);
    expect(distance(long, prefill(alone, 40))).toBeLessThan(LOGPROB_FP32);
    expect(distance(long, prefill(decodeOnly, 40))).toBeGreaterThan(LOGPROB_FP32);
    // The next token reads the cache that the float32 form wrote: nearer to float32 than int8 all the way.
    const step = (one: ModelExecutor, tokenId: number): Float32Array =>
      one.run({ kind: 'decode', capacity: 128, rows: [{ row: 0, tokenId, position: 40 }] }).slice();
    const fromExact = (one: ModelExecutor): number => tokens.reduce((sum, id) => sum + distance(step(one, id), step(alone, id)), 0);
    expect(fromExact(both)).toBeLessThan(fromExact(decodeOnly));
    both.close();
    decodeOnly.close();
    alone.removeRow(0);
  });

  it.each(['fp32', 'int8'] as const)(
    'computes one row that decodes over a cache of %s with a graph of its own, as near to float32 as that for any rows',
    async (kv) => {
      await ensureCompiled(base, 'w8a8');
      const model = await openCompiled(base.folder, 'w8a8', kv);
      if (!model?.tokenGraphs) throw new Error('the form has no graphs for one token');
      const options = { threadCount: 1, allowSpinning: false, maxRows: 1, maxContext: 256 };
      const [byToken, byRows] = [model, { ...model, tokenGraphs: null }].map((one) => createOrtExecutor({ ...options, model: one }));
      if (!byToken || !byRows) throw new Error('both were made');
      for (const adapter of adapters) {
        const decode = (one: ModelExecutor): readonly Float32Array[] => {
          one.addRow(0, 128, adapter);
          const lines = Array.from({ length: 60 }, (_, position) =>
            one.run({ kind: 'decode', capacity: 128, rows: [{ row: 0, tokenId: (position * 7) % 50, position }] }).slice(),
          );
          one.removeRow(0);
          return lines;
        };
        const [exact, token, rows] = [decode(alone), decode(byToken), decode(byRows)];
        const meanDistance = (lines: readonly Float32Array[]): number =>
          lines.reduce((sum, line, index) => sum + distance(line, exact[index] ?? line), 0) / lines.length;
        expect(meanDistance(token)).toBeLessThan(TOKEN_TO_ROWS * meanDistance(rows));
        // Profiles without such a graph take the other one.
        const isSame = token.every((line, index) => distance(line, rows[index] ?? line) === 0);
        expect(isSame).toBe(!byToken.canMix(adapter));
      }
      for (const one of [byToken, byRows]) one.close();
    },
  );

  it.skipIf(!hasInt8DotProduct(processorFlags()))(
    'tries both forms while nobody asks for anything, and computes few tokens with the faster one',
    async () => {
      const [blocks, integers] = [await ensureCompiled(base, 'int8'), await ensureCompiled(base, 'w8a8')];
      const common = { threadCount: 1, allowSpinning: false, maxRows: 2, maxContext: 64 };
      const handlesBefore = alone.liveHandles();
      const tried = (secondMs: number) => {
        const one = createOrtExecutor({ ...common, model: blocks, secondModel: integers, clock: trialClock(10, secondMs) });
        let mostHandles = 0;
        while (one.prepareNext()) mostHandles = Math.max(mostHandles, one.liveHandles());
        // Bindings of trials are gone, sessions stay.
        expect(one.liveHandles()).toBeLessThan(mostHandles);
        return one;
      };
      const [faster, slower] = [tried(8), tried(12)];
      const [integersOnly, blocksOnly] = [integers, blocks].map((model) => createOrtExecutor({ ...common, model }));
      if (!integersOnly || !blocksOnly) throw new Error('both were made');
      expect([1, 3, 8].map((tokenCount) => faster.formFor('none', tokenCount))).toEqual(['w8a8', 'w8a8', 'w8a8']);
      expect([1, 3, 8].map((tokenCount) => slower.formFor('none', tokenCount))).toEqual(['int8', 'int8', 'w8a8']);
      const decode = (one: ModelExecutor): Float32Array => {
        one.addRow(0, 64, adapters[1] ?? null);
        return one.run({ kind: 'decode', capacity: 64, rows: [{ row: 0, tokenId: 7, position: 0 }] }).slice();
      };
      expect(decode(faster)).toEqual(decode(integersOnly));
      expect(decode(slower)).toEqual(decode(blocksOnly));
      for (const one of [faster, slower, integersOnly, blocksOnly]) one.close();
      expect(alone.liveHandles()).toBe(handlesBefore);
    },
  );

  it.skipIf(!hasInt8DotProduct(processorFlags()))('runs calls of many tokens on the w8a8 form, short ones on blocks', async () => {
    const [blocks, integers] = [await ensureCompiled(base, 'int8'), await ensureCompiled(base, 'w8a8')];
    const common = { threadCount: 1, allowSpinning: false, maxRows: 13, maxContext: 256 };
    const both = createOrtExecutor({ ...common, model: blocks, secondModel: integers });
    const integersOnly = createOrtExecutor({ ...common, model: integers });
    const blocksOnly = createOrtExecutor({ ...common, model: blocks });
    const tokens = Array.from({ length: 20 }, (_, index) => (index * 7) % base.description.vocabularySize);
    const rows = Array.from({ length: 12 }, (_, row) => row);
    const run = (one: ModelExecutor): readonly Float32Array[] => {
      for (const row of rows) one.addRow(row, 128, null);
      const last = rows.map((row) =>
        one.run({ kind: 'prefill', row, tokenIds: tokens, startPosition: 0, logits: row === 0 ? 'last' : 'none' }).slice(),
      );
      const step = one.run({ kind: 'decode', capacity: 128, rows: rows.map((row) => ({ row, tokenId: row + 1, position: 20 })) }).slice();
      return [last[0] ?? new Float32Array(), step];
    };
    expect(run(both)).toEqual(run(integersOnly));
    const short = (one: ModelExecutor): Float32Array => {
      one.addRow(12, 128, null);
      return one.run({ kind: 'prefill', row: 12, tokenIds: tokens.slice(0, 3), startPosition: 0, logits: 'last' }).slice();
    };
    expect(short(both)).toEqual(short(blocksOnly));
    for (const one of [both, integersOnly, blocksOnly]) one.close();
  });
});
