// The engine as its users see it: events of requests over a fake model whose tokens are known.
import { describe, expect, it } from 'vitest';
import { fakeAdapter, adapterSource, HeldAdapterSource } from '../../test/support/fake-adapters.ts';
import { EngineHarness, GREEDY, request } from '../../test/support/engine-harness.ts';
import { FakeExecutor } from '../../test/support/fake-executor.ts';
import { fakeGreedyTokens } from '../../test/support/fake-logits.ts';
import { AppError } from '../core/index.ts';

const ADAPTERS = [fakeAdapter(1), fakeAdapter(2), fakeAdapter(3)] as const;
const prompt = (length: number): number[] => Array.from({ length }, (_, index) => (index * 7 + 3) % 64);

describe('an engine', () => {
  it('produces the tokens of the model and finishes at the requested length', async () => {
    const harness = new EngineHarness();
    harness.submit(request('a', { promptTokenIds: prompt(100), maxNewTokens: 12 }));
    await harness.run();
    expect(harness.tokensOf('a')).toEqual(fakeGreedyTokens(prompt(100), null, 12));
    expect(harness.endOf('a')).toBe('finished length');
    expect(harness.executor.liveHandles()).toBe(0);
  });

  it('gives every row of a mixed batch its own adapter', async () => {
    const harness = new EngineHarness({ adapters: adapterSource(ADAPTERS) });
    ADAPTERS.forEach(({ digest }, index) => harness.submit(request(`a${index}`, { adapterDigest: digest, maxNewTokens: 20 })));
    harness.submit(request('base', { maxNewTokens: 20 }));
    await harness.run();
    ADAPTERS.forEach(({ adapter }, index) => expect(harness.tokensOf(`a${index}`)).toEqual(fakeGreedyTokens([1, 2, 3], adapter, 20)));
    expect(harness.tokensOf('base')).toEqual(fakeGreedyTokens([1, 2, 3], null, 20));
    expect(Math.max(...harness.executor.calls.map((call) => (call.kind === 'decode' ? call.rows.length : 0)))).toBe(4);
  });

  it('ends after a stop token and reports that token', async () => {
    const harness = new EngineHarness();
    const tokens = fakeGreedyTokens([1, 2, 3], null, 10);
    const stop = tokens[4] ?? -1;
    harness.submit(request('a', { maxNewTokens: 10, stopTokenIds: [stop] }));
    await harness.run();
    expect(harness.tokensOf('a')).toEqual(tokens.slice(0, tokens.indexOf(stop) + 1));
    expect(harness.endOf('a')).toBe('finished stop-token');
  });

  it('draws anew for every token, and the same again for the same seed', async () => {
    const harness = new EngineHarness({ executor: new FakeExecutor({ fillLogits: (line) => line.fill(0) }) });
    const sampling = (seed: number) => ({ ...GREEDY, temperature: 1, seed });
    harness.submit(request('a', { maxNewTokens: 40, sampling: sampling(1) }));
    harness.submit(request('same', { maxNewTokens: 40, sampling: sampling(1), promptTokenIds: prompt(50) }));
    harness.submit(request('other', { maxNewTokens: 40, sampling: sampling(2) }));
    await harness.run();
    expect(new Set(harness.tokensOf('a')).size).toBeGreaterThan(15);
    expect(harness.tokensOf('same')).toEqual(harness.tokensOf('a'));
    expect(harness.tokensOf('other')).not.toEqual(harness.tokensOf('a'));
  });

  it('lets requests join and leave between steps', () => {
    const harness = new EngineHarness();
    harness.submit(request('a', { maxNewTokens: 50 }));
    for (let step = 0; step < 5; step += 1) harness.step();
    harness.submit(request('b', { maxNewTokens: 2 }));
    for (let step = 0; step < 5; step += 1) harness.step();
    expect(harness.endOf('b')).toBe('finished length');
    expect(harness.endOf('a')).toBeNull();
    expect(harness.tokensOf('a')).toEqual(fakeGreedyTokens([1, 2, 3], null, 50).slice(0, harness.tokensOf('a').length));
  });

  it('frees a cancelled row before the next step', () => {
    const harness = new EngineHarness();
    harness.submit(request('a', { maxNewTokens: 50 }));
    for (let step = 0; step < 5; step += 1) harness.step();
    harness.cancel('a');
    expect(harness.endOf('a')).toBe('finished cancelled');
    expect(harness.executor.liveHandles()).toBe(0);
    expect(harness.engine.stats().kvPositionsReserved).toBe(0);
    harness.cancel('a');
    expect(harness.step()).toEqual({ kind: 'idle' });
    expect(harness.eventsOf('a').filter(({ kind }) => kind === 'finished')).toHaveLength(1);
  });

  it('sends the tokens of one step together', async () => {
    const harness = new EngineHarness();
    for (const id of ['a', 'b', 'c']) harness.submit(request(id, { maxNewTokens: 20 }));
    await harness.run();
    expect(harness.batches.some((events) => new Set(events.map(({ id }) => id)).size === 3)).toBe(true);
  });

  it('runs no call with more tokens than a prefill chunk, and decodes with or between the chunks of a long prompt', async () => {
    const harness = new EngineHarness({ limits: { prefillChunk: 16 } });
    harness.submit(request('short', { maxNewTokens: 40 }));
    harness.step();
    harness.submit(request('long', { promptTokenIds: prompt(200), maxNewTokens: 1 }));
    await harness.run();
    const kinds = harness.executor.calls.map(({ kind }) => kind).join(' ');
    expect(kinds).not.toContain('prefill prefill prefill');
    const ofPrompt = harness.executor.calls.map((call) => (call.kind === 'mixed' ? call.prefill : call));
    const sizes = ofPrompt.flatMap((call) => (call.kind === 'prefill' ? [call.tokenIds.length] : []));
    expect(sizes.length).toBeGreaterThanOrEqual(200 / 16);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(16);
    expect(harness.tokensOf('long')).toEqual(fakeGreedyTokens(prompt(200), null, 1));
  });

  it('finishes with length when the context is full', async () => {
    const harness = new EngineHarness({ limits: { maxContext: 20 } });
    harness.submit(request('a', { promptTokenIds: prompt(15), maxNewTokens: 100 }));
    harness.submit(request('full', { promptTokenIds: prompt(20), maxNewTokens: 100 }));
    await harness.run();
    expect(harness.tokensOf('a')).toEqual(fakeGreedyTokens(prompt(15), null, 5));
    expect(harness.tokensOf('full')).toHaveLength(1);
    expect(harness.endOf('a')).toBe('finished length');
  });

  it('prefills without sampling when no new token is wanted', async () => {
    const harness = new EngineHarness();
    harness.submit(request('a', { maxNewTokens: 0 }));
    await harness.run();
    expect(harness.eventsOf('a')).toEqual([{ kind: 'finished', id: 'a', reason: 'length' }]);
  });
});

describe('an engine under load', () => {
  it('refuses what its queue cannot hold', async () => {
    const harness = new EngineHarness({ limits: { maxBatch: 1, maxWaiting: 2 } });
    for (const id of ['a', 'b', 'c', 'd']) harness.submit(request(id));
    expect(harness.endOf('d')).toBe('failed overloaded');
    await harness.run();
    for (const id of ['a', 'b', 'c']) expect(harness.endOf(id)).toBe('finished length');
  });

  it('preempts the youngest when KV memory is short, and its output does not change', async () => {
    const executor = new FakeExecutor();
    const limits = { smallestCapacity: 8, maxContext: 128, kvCacheBytes: executor.shape.kvBytesPerPosition * 160 };
    const harness = new EngineHarness({ executor, limits, adapters: adapterSource(ADAPTERS) });
    const sampling = { ...GREEDY, temperature: 0.9, seed: 7, repetitionPenalty: 1.3 };
    for (const id of ['a', 'b', 'c']) harness.submit(request(id, { maxNewTokens: 100, sampling, adapterDigest: ADAPTERS[0].digest }));
    await harness.run();
    expect(harness.engine.stats().preemptions).toBeGreaterThan(0);
    const alone = new EngineHarness({ adapters: adapterSource(ADAPTERS) });
    alone.submit(request('a', { maxNewTokens: 100, sampling, adapterDigest: ADAPTERS[0].digest }));
    await alone.run();
    for (const id of ['a', 'b', 'c']) expect(harness.tokensOf(id)).toEqual(alone.tokensOf('a'));
  });

  it('lets a preempted request back in before one that never ran', async () => {
    const executor = new FakeExecutor();
    const limits = { smallestCapacity: 8, maxContext: 128, kvCacheBytes: executor.shape.kvBytesPerPosition * 130, maxBatch: 2 };
    const harness = new EngineHarness({ executor, limits });
    for (const id of ['old', 'young']) harness.submit(request(id, { maxNewTokens: 100 }));
    harness.step();
    // Its group was never served, so it would be next if nobody had been preempted.
    harness.submit(request('new', { group: 'other', promptTokenIds: prompt(100), maxNewTokens: 1 }));
    await harness.run();
    const ends = harness.events.filter(({ kind }) => kind === 'finished').map(({ id }) => id);
    expect(harness.engine.stats().preemptions).toBeGreaterThan(0);
    expect(ends).toEqual(['old', 'young', 'new']);
  });

  it('shares the batch among groups although one of them asks for much more', async () => {
    const harness = new EngineHarness({ limits: { maxBatch: 1, maxWaiting: 64 } });
    for (let index = 0; index < 10; index += 1) harness.submit(request(`many${index}`, { group: 'many' }));
    harness.submit(request('few', { group: 'few' }));
    await harness.run();
    const ends = harness.events.filter(({ kind }) => kind === 'finished').map(({ id }) => id);
    expect(ends.indexOf(request('few').id)).toBeLessThanOrEqual(2);
  });
});

describe('an engine that meets failures', () => {
  it('fails only the requests of the call that failed and goes on', async () => {
    const harness = new EngineHarness();
    harness.submit(request('a', { maxNewTokens: 9 }));
    for (let step = 0; step < 4; step += 1) harness.step();
    harness.submit(request('b', { promptTokenIds: prompt(60), maxNewTokens: 3 }));
    harness.executor.faults = (operation) => (operation === 'prefill' ? new Error('kernel trouble at /secret/path') : null);
    await harness.run();
    expect(harness.endOf('b')).toBe('failed generation_failed');
    expect(JSON.stringify(harness.eventsOf('b'))).not.toContain('secret');
    expect(harness.tokensOf('a')).toEqual(fakeGreedyTokens([1, 2, 3], null, 9));
    expect(harness.executor.liveHandles()).toBe(0);
  });

  it.each(['addRow', 'growRow', 'decode'] as const)('survives a failing %s', async (operation) => {
    const harness = new EngineHarness({ limits: { smallestCapacity: 8 } });
    let failures = 1;
    harness.executor.faults = (now) => (now === operation && failures-- > 0 ? new Error('no memory') : null);
    harness.submit(request('a', { maxNewTokens: 30 }));
    await harness.run();
    expect(harness.endOf('a')).toBe('failed generation_failed');
    harness.submit(request('b', { maxNewTokens: 30 }));
    await harness.run();
    expect(harness.tokensOf('b')).toEqual(fakeGreedyTokens([1, 2, 3], null, 30));
    expect(harness.executor.liveHandles()).toBe(0);
  });

  it('fails a row whose logits are not finite, alone', async () => {
    const executor = new FakeExecutor({ fillLogits: (line, history) => line.fill(history[0] === 9 ? NaN : 1) });
    const harness = new EngineHarness({ executor });
    harness.submit(request('bad', { promptTokenIds: [9] }));
    harness.submit(request('good'));
    await harness.run();
    expect(harness.endOf('bad')).toBe('failed generation_failed');
    expect(harness.endOf('good')).toBe('finished length');
  });

  it.each([
    ['an empty prompt', { promptTokenIds: [] }, 'invalid_request'],
    ['a token id beyond the vocabulary', { promptTokenIds: [64] }, 'invalid_request'],
    ['a fractional token id', { promptTokenIds: [1.5] }, 'invalid_request'],
    ['a prompt beyond the context', { promptTokenIds: prompt(1025) }, 'context_length_exceeded'],
    ['a negative length', { maxNewTokens: -1 }, 'invalid_request'],
    ['a bias on an unknown token', { sampling: { ...GREEDY, logitBias: [[99, 1]] as const } }, 'invalid_request'],
    ['a temperature that is no number', { sampling: { ...GREEDY, temperature: NaN } }, 'invalid_request'],
    ['a top-p above 1', { sampling: { ...GREEDY, topP: 1.5 } }, 'invalid_request'],
    ['a negative seed', { sampling: { ...GREEDY, seed: -1 } }, 'invalid_request'],
  ])('refuses %s', (_name, changes, code) => {
    const harness = new EngineHarness();
    harness.submit(request('a', changes));
    expect(harness.endOf('a')).toBe(`failed ${code}`);
    expect(harness.executor.calls).toHaveLength(0);
  });

  it('ends what is left when it is closed', () => {
    const harness = new EngineHarness({ limits: { maxBatch: 1 } });
    harness.submit(request('running', { maxNewTokens: 50 }));
    harness.submit(request('waiting'));
    harness.step();
    harness.engine.close();
    for (const id of ['running', 'waiting']) expect(harness.endOf(id)).toBe('failed engine_unavailable');
    expect(harness.executor.closed).toBe(true);
  });
});

describe('an engine that loads adapters', () => {
  it('keeps other requests running while an adapter loads', async () => {
    const source = new HeldAdapterSource(ADAPTERS);
    const harness = new EngineHarness({ adapters: source, limits: { maxBatch: 1 } });
    harness.submit(request('slow', { adapterDigest: ADAPTERS[0].digest }));
    harness.submit(request('base'));
    while (harness.step().kind !== 'idle');
    expect(harness.endOf('base')).toBe('finished length');
    expect(harness.endOf('slow')).toBeNull();
    source.succeed(ADAPTERS[0].digest);
    await harness.run();
    expect(harness.tokensOf('slow')).toEqual(fakeGreedyTokens([1, 2, 3], ADAPTERS[0].adapter, 4));
  });

  it('fails only the requests of an adapter that cannot be loaded, with the reason when it may be shown', async () => {
    const source = new HeldAdapterSource(ADAPTERS);
    const harness = new EngineHarness({ adapters: source });
    const [first, second] = ADAPTERS;
    harness.submit(request('a1', { adapterDigest: first.digest }));
    harness.submit(request('a2', { adapterDigest: first.digest }));
    harness.submit(request('b', { adapterDigest: second.digest }));
    harness.step();
    expect(source.loadCount).toBe(2);
    source.fail(first.digest, new AppError('generation_failed', 'the adapter was made for another base'));
    source.fail(second.digest, new Error('EIO /secret/path'));
    await harness.run();
    expect(harness.eventsOf('a1').at(-1)).toMatchObject({ kind: 'failed', message: 'the adapter was made for another base' });
    expect(harness.endOf('a2')).toBe('failed generation_failed');
    expect(harness.endOf('b')).toBe('failed generation_failed');
    expect(JSON.stringify(harness.events)).not.toContain('secret');
  });

  it('gives back the adapter of a request that was cancelled while it loaded', async () => {
    const source = new HeldAdapterSource(ADAPTERS);
    const harness = new EngineHarness({ adapters: source });
    harness.submit(request('a', { adapterDigest: ADAPTERS[0].digest }));
    harness.step();
    harness.cancel('a');
    source.succeed(ADAPTERS[0].digest);
    await harness.run();
    await new Promise(setImmediate);
    expect(harness.endOf('a')).toBe('finished cancelled');
    expect(harness.engine.stats().adapters).toMatchObject([{ digest: ADAPTERS[0].digest, leases: 0 }]);
  });
});
