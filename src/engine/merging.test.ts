import { describe, expect, it } from 'vitest';
import { EngineHarness, request } from '../../test/support/engine-harness.ts';
import { adapterSource, fakeAdapter, fakeMergedOnlyAdapter } from '../../test/support/fake-adapters.ts';
import { FakeExecutor } from '../../test/support/fake-executor.ts';
import { fakeGreedyTokens } from '../../test/support/fake-logits.ts';
import { HeldMerges } from '../../test/support/held-merges.ts';
import { AppError } from '../core/index.ts';

const POET = fakeAdapter(1);
const CLERK = fakeAdapter(2);
const FULL = fakeMergedOnlyAdapter(3);
const OTHER_FULL = fakeMergedOnlyAdapter(4);
const PROMPT = [1, 2, 3];

interface Held {
  readonly harness: EngineHarness;
  readonly merges: HeldMerges;
}

function held(mergedMax = 1): Held {
  const executor = new FakeExecutor();
  const adapters = adapterSource([POET, CLERK, FULL, OTHER_FULL]);
  return { harness: new EngineHarness({ executor, adapters, limits: { mergedMax } }), merges: new HeldMerges(executor) };
}

async function steps(harness: EngineHarness, count: number): Promise<void> {
  for (let step = 0; step < count; step += 1) {
    harness.step();
    await new Promise(setImmediate);
  }
}

/** Lets what is being prepared and then loaded end. */
async function merge({ harness, merges }: Held): Promise<void> {
  for (let phase = 0; phase < 2; phase += 1) {
    await steps(harness, 2);
    merges.settle(null);
  }
  await steps(harness, 2);
}

function mergedNow({ engine }: EngineHarness): readonly string[] {
  return engine.stats().merged.flatMap(({ digest, phase }) => (phase === 'merged' ? [digest] : []));
}

describe('a placed adapter', () => {
  it('is merged while its rows go on, and they change sides without a change of their tokens', async () => {
    const engine = held();
    const { harness } = engine;
    for (const [id, { digest }] of [['a', POET] as const, ['b', CLERK] as const])
      harness.submit(request(id, { adapterDigest: digest, maxNewTokens: 60 }));
    await steps(harness, 6);
    harness.engine.place([[POET.digest, 'merged']]);
    await merge(engine);
    expect(mergedNow(harness)).toEqual([POET.digest]);
    await steps(harness, 8);
    const { mergedCalls, mergedRows } = harness.engine.stats();
    expect(mergedCalls).toBeGreaterThan(1);
    expect(mergedRows).toBe(mergedCalls);
    harness.engine.place([]);
    await steps(harness, 12);
    expect(mergedNow(harness)).toEqual([]);
    expect(harness.executor.merged.size).toBe(0);
    await harness.run();
    expect(harness.executor.moveCount).toBe(2);
    expect(harness.tokensOf('a')).toEqual(fakeGreedyTokens(PROMPT, POET.adapter, 60));
    expect(harness.tokensOf('b')).toEqual(fakeGreedyTokens(PROMPT, CLERK.adapter, 60));
    expect(harness.engine.stats()).toMatchObject({ mergePromotions: 1, mergeDemotions: 1, mergeFailures: 0 });
  });

  it('is merged and dropped without any request, as soon as it is placed', async () => {
    const engine = held();
    engine.harness.engine.place([[POET.digest, 'merged']]);
    await merge(engine);
    expect(mergedNow(engine.harness)).toEqual([POET.digest]);
    engine.harness.engine.place([[POET.digest, 'side']]);
    await steps(engine.harness, 1);
    expect(engine.harness.executor.merged.size).toBe(0);
  });

  it('stays beside the base when it cannot be merged, and its requests with it', async () => {
    const { harness, merges } = held();
    harness.engine.place([[POET.digest, 'merged']]);
    harness.submit(request('a', { adapterDigest: POET.digest }));
    await steps(harness, 2);
    merges.settle(new Error('no room on the disk'));
    await steps(harness, 1);
    await harness.run();
    expect(harness.endOf('a')).toBe('finished length');
    expect(harness.engine.stats()).toMatchObject({ mergeFailures: 1, merged: [{ digest: POET.digest, phase: 'failed' }] });
  });
});

describe('an adapter with full weights', () => {
  it('waits for its merge, while others run and none of them waits with it', async () => {
    const engine = held();
    const { harness } = engine;
    for (let index = 0; index < 6; index += 1) harness.submit(request(`full${index}`, { adapterDigest: FULL.digest }));
    await steps(harness, 2);
    harness.submit(request('other', { adapterDigest: POET.digest }));
    await steps(harness, 20);
    expect(harness.endOf('other')).toBe('finished length');
    expect(harness.eventsOf('full0')).toEqual([]);
    await merge(engine);
    await harness.run();
    expect(harness.tokensOf('full5')).toEqual(fakeGreedyTokens(PROMPT, FULL.adapter, 4));
  });

  it('fails its own requests with the reason when it cannot be merged, also those that come soon after, and is tried again later', async () => {
    const engine = held();
    const { harness, merges } = engine;
    const submit = (id: string): void => harness.submit(request(id, { adapterDigest: FULL.digest }));
    submit('first');
    await steps(harness, 3);
    merges.settle(new AppError('generation_failed', 'its packed file is damaged'));
    await steps(harness, 3);
    submit('second');
    await steps(harness, 3);
    for (const id of ['first', 'second']) {
      expect(harness.eventsOf(id)).toMatchObject([
        { kind: 'failed', code: 'generation_failed', message: 'the adapter could not be merged: its packed file is damaged' },
      ]);
    }
    harness.clock.nowMs += 60_000;
    submit('third');
    await merge(engine);
    await harness.run();
    expect(harness.endOf('third')).toBe('finished length');
  });

  it('is refused where nothing is merged', async () => {
    const { harness } = held(0);
    harness.submit(request('a', { adapterDigest: FULL.digest }));
    await steps(harness, 3);
    expect(harness.endOf('a')).toBe('failed unsupported_adapter');
  });

  it('gets the place of another one after a while, although that one always has requests', async () => {
    const engine = held();
    const { harness, merges } = engine;
    harness.submit(request('f0', { adapterDigest: FULL.digest, maxNewTokens: 30 }));
    await merge(engine);
    harness.submit(request('waiting', { adapterDigest: OTHER_FULL.digest }));
    for (let index = 1; harness.endOf('waiting') === null; index += 1) {
      expect(index).toBeLessThan(200);
      harness.submit(request(`f${index}`, { adapterDigest: FULL.digest, maxNewTokens: 30 }));
      if (harness.engine.stats().waitingRequests > 10) await steps(harness, 30);
      merges.settle(null);
      await steps(harness, 10);
    }
    expect(harness.endOf('waiting')).toBe('finished length');
  });
});

describe('an adapter that nobody has placed', () => {
  it('is merged once its calls would have been faster for a while, and not any more when they are not', async () => {
    const engine = held();
    const { harness, merges } = engine;
    const keepBusy = async (digests: readonly (typeof POET.digest)[], milliseconds: number): Promise<void> => {
      const end = harness.clock.nowMs + milliseconds;
      for (let index = 0; harness.clock.nowMs < end; index += 1) {
        while (harness.engine.stats().runningRequests + harness.engine.stats().waitingRequests < digests.length) {
          const id = `${harness.clock.nowMs} ${index} ${harness.events.length} ${harness.engine.snapshot().liveCount}`;
          harness.submit(request(id, { adapterDigest: digests[harness.engine.snapshot().liveCount] ?? null, maxNewTokens: 40 }));
        }
        merges.settle(null);
        await steps(harness, 5);
      }
    };
    await keepBusy([POET.digest, POET.digest, POET.digest, POET.digest], 8000);
    expect(mergedNow(harness)).toEqual([]);
    await keepBusy([POET.digest, POET.digest, POET.digest, POET.digest], 20_000);
    expect(mergedNow(harness)).toEqual([POET.digest]);
    expect(harness.engine.stats().mergedRows).toBeGreaterThan(100);
    await keepBusy([POET.digest, CLERK.digest, CLERK.digest, CLERK.digest], 60_000);
    expect(mergedNow(harness)).not.toContain(POET.digest);
  }, 30_000);
});
