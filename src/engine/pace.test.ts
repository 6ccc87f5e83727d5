// Time between tokens while prompts are read and requests join, in the fake executor's own milliseconds.
import { describe, expect, it } from 'vitest';
import { EngineHarness, FAKE_COST_MS, request } from '../../test/support/engine-harness.ts';
import { adapterSource, fakeAdapter } from '../../test/support/fake-adapters.ts';
import { FakeExecutor } from '../../test/support/fake-executor.ts';

const ADAPTERS = [fakeAdapter(1), fakeAdapter(2), fakeAdapter(3)] as const;
const prompt = (length: number): number[] => Array.from({ length }, (_, index) => (index * 7 + 3) % 64);

describe('an engine whose rows decode while prompts come', () => {
  /** Gaps between the tokens of a request, in milliseconds of the fake executor's work. */
  const gapsOf = async (arrivals: readonly { readonly id: string; readonly promptLength: number; readonly adapter?: number }[]) => {
    const limits = { maxBatch: 16, maxContext: 8192, kvCacheBytes: 16 * 65_536, prefillChunk: 128, maxStretch: 2 };
    const harness = new EngineHarness({ executor: new FakeExecutor({ maxContext: 8192 }), adapters: adapterSource(ADAPTERS), limits });
    const tokenTimes: number[] = [];
    const step = async (): Promise<void> => {
      const before = harness.tokensOf('r0').length;
      harness.step();
      if (harness.tokensOf('r0').length > before) tokenTimes.push(harness.clock.nowMs);
      await new Promise(setImmediate);
    };
    for (let index = 0; index < 8; index += 1) harness.submit(request(`r${index}`, { promptTokenIds: [index], maxNewTokens: 2000 }));
    while (tokenTimes.length < 20) await step();
    const arrivedMs = harness.clock.nowMs;
    for (const { id, promptLength, adapter } of arrivals) {
      const adapterDigest = adapter === undefined ? null : (ADAPTERS[adapter]?.digest ?? null);
      harness.submit(request(id, { promptTokenIds: prompt(promptLength), maxNewTokens: 1, adapterDigest }));
    }
    while (harness.engine.snapshot().liveCount > 8) await step();
    expect(harness.tokensOf('r0').length).toBeLessThan(2000);
    const times = tokenTimes.filter((timeMs) => timeMs > arrivedMs);
    return times.slice(1).map((timeMs, index) => timeMs - (times[index] ?? timeMs));
  };
  const decodeMs = FAKE_COST_MS.decode(8);

  /** Rows that the engine holds and has read nothing of. */
  const unreadCount = ({ engine }: EngineHarness): number =>
    engine.snapshot().running.filter(({ row }) => row?.cachedPositions === 0).length;

  it('gives a row to one of a burst after the other, as each begins to be read', async () => {
    const harness = new EngineHarness({ limits: { maxBatch: 16 } });
    harness.submit(request('decodes', { maxNewTokens: 60 }));
    while (harness.tokensOf('decodes').length < 5) harness.step();
    for (let index = 0; index < 6; index += 1) harness.submit(request(`b${index}`, { promptTokenIds: prompt(12), maxNewTokens: 30 }));
    let most = 0;
    while (harness.endOf('b5') === null) {
      harness.step();
      most = Math.max(most, unreadCount(harness));
    }
    expect(most).toBe(1);
  });

  it('gives rows to all of a burst at once while nothing decodes', () => {
    const harness = new EngineHarness({ limits: { maxBatch: 16 } });
    for (let index = 0; index < 6; index += 1) harness.submit(request(`b${index}`, { promptTokenIds: prompt(12) }));
    harness.step();
    expect(harness.engine.stats().runningRequests).toBe(6);
  });

  it.each([
    ['of the base', null],
    ['with adapters, which they copy first', ADAPTERS],
  ])('does not let those %s that come later overtake a prompt for ever', async (_, adapters) => {
    const limits = { maxBatch: 16, maxContext: 8192, kvCacheBytes: 16 * 65_536, prefillChunk: 128, maxStretch: 1.1 };
    const harness = new EngineHarness({ executor: new FakeExecutor({ maxContext: 8192 }), adapters: adapterSource(ADAPTERS), limits });
    harness.submit(request('decodes', { maxNewTokens: 2000 }));
    while (harness.tokensOf('decodes').length < 5) harness.step();
    harness.submit(request('long', { promptTokenIds: prompt(200), maxNewTokens: 1 }));
    for (let arrival = 0; harness.endOf('long') === null && arrival < 200; arrival += 1) {
      const adapterDigest = adapters?.[arrival % ADAPTERS.length]?.digest ?? null;
      harness.submit(request(`short${arrival}`, { promptTokenIds: prompt(8), maxNewTokens: 2, adapterDigest }));
      for (let step = 0; step < 3; step += 1) {
        harness.step();
        await new Promise(setImmediate);
      }
    }
    expect(harness.endOf('long')).toBe('finished length');
  });

  it('reads a prompt of 4,000 tokens without more than doubling their time between tokens on average, in calls that are worth it', async () => {
    const gaps = await gapsOf([{ id: 'long', promptLength: 4000 }]);
    expect(gaps.length).toBeGreaterThan(50);
    expect(gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length).toBeLessThanOrEqual(2 * decodeMs);
    // The time of three interludes at most.
    expect(Math.max(...gaps)).toBeLessThanOrEqual(4 * decodeMs);
    // In calls with the rows that decode; the last one has what is left.
    const [least, ...others] = gaps.filter((gap) => gap > decodeMs).toSorted((one, other) => one - other);
    expect(least).toBeGreaterThan(decodeMs);
    expect(Math.min(...others)).toBeGreaterThanOrEqual(decodeMs + FAKE_COST_MS.chunk(8));
  });

  it('stretches them further for the rest of a short prompt alone, which is read whole', async () => {
    const gaps = await gapsOf([0, 1, 2, 0, 1, 2].map((adapter, index) => ({ id: `b${index}`, promptLength: 20 + index, adapter })));
    expect(Math.max(...gaps)).toBeLessThanOrEqual(decodeMs + FAKE_COST_MS.prefill(24));
  });

  it('lets the requests of a burst copy their adapters one by one', async () => {
    const gaps = await gapsOf([0, 1, 2, 0, 1, 2].map((adapter, index) => ({ id: `b${index}`, promptLength: 8 + index, adapter })));
    expect(Math.max(...gaps)).toBeLessThanOrEqual(2 * decodeMs);
  });
});
