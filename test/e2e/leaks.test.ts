// Ten thousand steps and two hundred adapter swaps on one engine process: native objects are counted exactly, resident memory within a bound.
import { beforeAll, describe, expect, it } from 'vitest';
import { type AdapterFilePair, fixtureAdapter } from '../support/adapter-files.ts';
import { certainBase } from '../support/certain-answers.ts';
import { Load } from '../support/load.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { serverOfTests } from '../support/test-server.ts';
import { importTinyModel } from '../support/tiny-model.ts';
import { streamTokens } from '../support/token-stream.ts';
import { RESIDENT_GROWTH_BYTES } from '../support/tolerances.ts';

const STEPS = 10_000;
const SWAPS = 200;
const MOST_RUNS = 3;
const STREAMS = 4;
/** Together more than the memory for idle adapters below: each swap to the next one reads a file again and drops another adapter. */
const VERSIONS = Array.from({ length: 40 }, (_, index) => variant(fixtureAdapter('tiny-adapters/linears-f16'), index));
const PROMPT = certainBase().prompt_token_ids;
const TOKENS = 120;

describe('an engine that runs for long', () => {
  const modelsDir = temporaryFolder();
  const dataDir = temporaryFolder();
  const running = serverOfTests(async () => {
    await importTinyModel('tiny-llama', modelsDir);
    return { modelsDir, dataDir, model: 'tiny-llama', precision: 'fp32', maxBatch: '8', adapterHostBytes: '1MiB' };
  });

  beforeAll(async () => {
    for (const files of VERSIONS) await running.api.upload('swapped', files);
  });

  it('keeps its native objects and its memory over 10,000 steps and 200 swaps', async () => {
    const { api } = running;
    let swaps = 0;
    const run = async (stepCount: number, swapCount: number): Promise<void> => {
      const before = (await api.metrics()).value('lorikeet_engine_decode_calls_total');
      const load = new Load(STREAMS, async () => await streamTokens(api, { model: 'swapped', prompt: PROMPT, tokenCount: TOKENS }));
      for (let steps = 0, done = 0; steps < stepCount || done < swapCount; done += 1) {
        swaps += 1;
        await api.activate('swapped', (swaps % VERSIONS.length) + 1);
        await load.untilEnded(load.endedCount + 1);
        steps = (await api.metrics()).value('lorikeet_engine_decode_calls_total') - before;
      }
      await load.finish();
      expect(load.failures).toEqual([]);
      expect(load.results.every(({ tokenIds }) => tokenIds.length === TOKENS)).toBe(true);
    };

    await run(STEPS / 5, VERSIONS.length);
    let warm = await api.metrics();
    let after = warm;
    const grown = (name: string): number => after.value(name) - warm.value(name);
    // Bindings of lanes that meet for the first time are kept, so a rare meeting adds some once. What is lost, is lost in every run.
    for (let runs = 0; runs < MOST_RUNS && (runs === 0 || grown('lorikeet_engine_live_handles') !== 0); runs += 1) {
      warm = await api.metrics();
      await run(STEPS, SWAPS);
      after = await api.metrics();
    }

    expect(grown('lorikeet_engine_decode_calls_total')).toBeGreaterThanOrEqual(STEPS);
    expect(after.value('lorikeet_engine_running_requests')).toBe(0);
    expect(after.value('lorikeet_kv_positions_reserved'), 'KV positions are given back').toBe(0);
    expect(after.value('lorikeet_adapter_leases'), 'leases balance').toBe(0);
    expect(grown('lorikeet_adapter_misses_total'), 'swaps read files').toBeGreaterThanOrEqual(SWAPS);
    expect(grown('lorikeet_engine_live_handles')).toBe(0);
    expect(grown('lorikeet_engine_resident_bytes')).toBeLessThan(RESIDENT_GROWTH_BYTES);
  });
});

/** The same adapter with another last value (float16, about 0.07): another content, so another digest. */
function variant(files: AdapterFilePair, index: number): AdapterFilePair {
  const tensors = files.tensors.slice();
  tensors.set([index, 0x2c], tensors.length - 2);
  return { ...files, tensors };
}
