// The prefix cache through the engine: what is read once, what is shared, and with whom.
import { describe, expect, it } from 'vitest';
import { EngineHarness, GREEDY, request } from '../../test/support/engine-harness.ts';
import { adapterSource, fakeAdapter } from '../../test/support/fake-adapters.ts';
import { FakeExecutor } from '../../test/support/fake-executor.ts';
import { fakeGreedyTokens } from '../../test/support/fake-logits.ts';

const ADAPTERS = [fakeAdapter(1), fakeAdapter(2)] as const;
const prompt = (length: number): number[] => Array.from({ length }, (_, index) => (index * 7 + 3) % 64);

describe('an engine with a prefix cache', () => {
  const TOKENS = prompt(100);
  const prefilled = (harness: EngineHarness): number => harness.engine.stats().prefillTokens;
  const hitOf = (harness: EngineHarness, id: string): number =>
    harness.eventsOf(id).reduce((sum, event) => (event.kind === 'prefix-hit' ? event.tokenCount : sum), 0);

  it('reads a prompt once, and of its repetition only what is beyond the last whole block', async () => {
    const harness = new EngineHarness();
    for (const id of ['a', 'b']) {
      harness.submit(request(id, { promptTokenIds: TOKENS }));
      await harness.run();
      expect(harness.tokensOf(id)).toEqual(fakeGreedyTokens(TOKENS, null, 4));
    }
    expect(hitOf(harness, 'a')).toBe(0);
    expect(hitOf(harness, 'b')).toBe(96);
    expect(prefilled(harness)).toBe(100 + 4);
    expect(harness.engine.stats()).toMatchObject({ prefixQueriedTokens: 200, prefixHitTokens: 96 });
  });

  it('lets choices of one prompt share its reading although they come together', async () => {
    const harness = new EngineHarness();
    for (const id of ['a', 'b', 'c'])
      harness.submit(request(id, { promptTokenIds: TOKENS, sampling: { ...GREEDY, temperature: 1, seed: id.charCodeAt(0) } }));
    await harness.run();
    expect(prefilled(harness)).toBe(100 + 4 + 4);
  });

  it('knows the answer of one turn when the next begins with it', async () => {
    const harness = new EngineHarness();
    harness.submit(request('a', { promptTokenIds: TOKENS, maxNewTokens: 40 }));
    await harness.run();
    harness.submit(request('b', { promptTokenIds: [...TOKENS, ...harness.tokensOf('a'), 1, 2] }));
    await harness.run();
    expect(hitOf(harness, 'b')).toBe(128);
  });

  it('shares nothing between groups, adapters and the base', async () => {
    const harness = new EngineHarness({ adapters: adapterSource(ADAPTERS) });
    const others = [{ group: 'other' }, { adapterDigest: ADAPTERS[0].digest }, { adapterDigest: ADAPTERS[1].digest }];
    for (const [index, changes] of [{}, ...others].entries()) {
      harness.submit(request(`r${index}`, { promptTokenIds: TOKENS, ...changes }));
      await harness.run();
    }
    expect(harness.engine.stats().prefixHitTokens).toBe(0);
  });

  it('computes the whole prompt when its log probabilities are wanted', async () => {
    const harness = new EngineHarness();
    harness.submit(request('a', { promptTokenIds: TOKENS }));
    await harness.run();
    harness.submit(request('b', { promptTokenIds: TOKENS, promptLogprobs: 0 }));
    await harness.run();
    expect(harness.eventsOf('b')[0]).toMatchObject({ kind: 'prompt-logprobs', values: { length: 100 } });
    expect(hitOf(harness, 'b')).toBe(0);
  });

  it('restores what it can of a preempted request instead of computing it', async () => {
    const executor = new FakeExecutor();
    const limits = { smallestCapacity: 8, maxContext: 128, kvCacheBytes: executor.shape.kvBytesPerPosition * 160 };
    const harness = new EngineHarness({ executor, limits });
    // Both grow from 32 positions to 128, which two of them do not fit: the younger one gives way with 33 tokens, 16 of them in the cache.
    for (const id of ['old', 'young']) harness.submit(request(id, { promptTokenIds: prompt(20), group: id, maxNewTokens: 60 }));
    await harness.run();
    expect(harness.engine.stats()).toMatchObject({ preemptions: 1, prefixHitTokens: 0, prefillTokens: 20 + 20 + 17 });
    expect(harness.tokensOf('young')).toEqual(fakeGreedyTokens(prompt(20), null, 60));
  });

  it('keeps nothing when it has no memory', async () => {
    const harness = new EngineHarness({ limits: { prefixCacheBytes: 0 } });
    for (const id of ['a', 'b']) harness.submit(request(id, { promptTokenIds: TOKENS }));
    await harness.run();
    expect(prefilled(harness)).toBe(200);
    expect(harness.engine.stats()).toMatchObject({ prefixQueriedTokens: 0, prefixCacheBytes: 0 });
  });
});
