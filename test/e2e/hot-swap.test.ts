// Hot swap under load: 16 streams run without a pause while the pointer of their adapter moves a hundred times.
import { beforeAll, describe, expect, it } from 'vitest';
import { certainAdapters, certainBase } from '../support/certain-answers.ts';
import { Load } from '../support/load.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { serverOfTests } from '../support/test-server.ts';
import { importTinyModel } from '../support/tiny-model.ts';
import { streamTokens } from '../support/token-stream.ts';
import { HUNDRED_SWAPS_MS } from '../support/tolerances.ts';

const STREAMS = 16;
const SWAPS = 100;
const VERSIONS = certainAdapters(8);
const PROMPT = certainBase().prompt_token_ids;

describe('a hot swap under load', () => {
  const modelsDir = temporaryFolder();
  const dataDir = temporaryFolder();
  const running = serverOfTests(async () => {
    await importTinyModel('tiny-llama', modelsDir);
    return { modelsDir, dataDir, model: 'tiny-llama', precision: 'fp32', maxBatch: '16' };
  });
  const expectedBy = new Map<string, string>();

  beforeAll(async () => {
    for (const { files, answer } of VERSIONS) {
      const { version } = await running.api.upload('swapped', files);
      expectedBy.set(`swapped@${version}`, answer.greedy_token_ids.join(' '));
    }
  });

  it('fails no request, and each answer is that of the version which it began with', async () => {
    const tokenCount = VERSIONS[0]?.answer.greedy_token_ids.length ?? 0;
    const load = new Load(STREAMS, async () => await streamTokens(running.api, { model: 'swapped', prompt: PROMPT, tokenCount }));
    await load.untilEnded(STREAMS);
    const startedAtMs = performance.now();
    let swapsWithoutLoad = 0;
    for (let swap = 1; swap <= SWAPS; swap += 1) {
      if (load.inFlightCount < STREAMS / 2) swapsWithoutLoad += 1;
      await running.api.activate('swapped', (swap % VERSIONS.length) + 1);
      // An answer between two swaps, so that they spread over the load instead of racing ahead of it.
      await load.untilEnded(load.endedCount + 1);
    }
    const tookMs = performance.now() - startedAtMs;
    await load.finish();

    expect(load.failures).toEqual([]);
    const wrong = load.results.filter(
      ({ adapterId, tokenIds, isDone }) => !isDone || expectedBy.get(adapterId ?? 'base') !== tokenIds.join(' '),
    );
    expect(wrong).toEqual([]);
    expect(new Set(load.results.map(({ adapterId }) => adapterId)).size, 'every version answered someone').toBe(VERSIONS.length);
    expect(swapsWithoutLoad).toBe(0);
    expect(tookMs).toBeLessThan(HUNDRED_SWAPS_MS);
    expect((await running.api.metrics()).value('lorikeet_adapter_leases'), 'leases balance').toBe(0);
  });
});
