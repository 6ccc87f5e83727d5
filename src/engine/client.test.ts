// The client, the host and the loop together, over messages in memory.
import { describe, expect, it, vi } from 'vitest';
import { adapterSource, fakeAdapter } from '../../test/support/fake-adapters.ts';
import { request } from '../../test/support/engine-harness.ts';
import { FakeExecutor } from '../../test/support/fake-executor.ts';
import { fakeGreedyTokens } from '../../test/support/fake-logits.ts';
import { createInProcessClient, createMemoryChannel } from '../../test/support/in-process-engine.ts';
import { isAppError } from '../core/index.ts';
import { RemoteEngineClient } from './client.ts';
import type { Generation } from './client-port.ts';
import type { EngineEvent } from './messages.ts';

async function collect(generation: Generation): Promise<readonly EngineEvent[]> {
  const events: EngineEvent[] = [];
  for await (const event of generation.events) events.push(event);
  return events;
}

function refusal(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return isAppError(error) ? { code: error.code, retryAfterSeconds: error.retryAfterSeconds } : error;
  }
  return null;
}

describe('an engine client', () => {
  it('is answered before the engine goes on with what start-up left out', async () => {
    const executor = new FakeExecutor();
    executor.pendingPieces = 1000;
    const { client, close } = await createInProcessClient({ executor });
    const events = await collect(client.submit(request('a', { maxNewTokens: 4 })));
    expect(events.at(-1)).toEqual({ kind: 'finished', id: 'a', reason: 'length' });
    expect(executor.pendingPieces).toBeGreaterThan(0);
    expect(executor.pendingPieces).toBeLessThan(1000);
    close();
  });

  it('loads adapters ahead, and goes on where one cannot be loaded', async () => {
    const [there, missing] = [fakeAdapter(1), fakeAdapter(2)];
    const { client, close } = await createInProcessClient({ adapters: adapterSource([there]) });
    client.prefetch(missing.digest);
    client.prefetch(there.digest);
    await vi.waitFor(async () => expect((await client.refreshStats())?.adapters).toMatchObject([{ digest: there.digest, leases: 0 }]));
    const events = await collect(client.submit(request('a', { adapterDigest: there.digest, maxNewTokens: 2 })));
    expect(events.at(-1)).toEqual({ kind: 'finished', id: 'a', reason: 'length' });
    expect(await client.refreshStats()).toMatchObject({ adapterMisses: 0, adapters: [{ hits: 1 }] });
    close();
  });

  it('streams the events of many requests, each in order and to its end', async () => {
    const { client, close } = await createInProcessClient();
    const ids = ['a', 'b', 'c', 'd', 'e', 'f'];
    const all = await Promise.all(
      ids.map((id, index) => collect(client.submit(request(id, { promptTokenIds: [index], maxNewTokens: 6 })))),
    );
    all.forEach((events, index) => {
      expect(events.flatMap((event) => (event.kind === 'token' ? [event.tokenId] : []))).toEqual(fakeGreedyTokens([index], null, 6));
      expect(events.at(-1)).toEqual({ kind: 'finished', id: ids[index], reason: 'length' });
    });
    expect(client.openRequests).toBe(0);
    close();
  });

  it('cancels a request in the middle of its stream', async () => {
    const { client, executor, close } = await createInProcessClient();
    const generation = client.submit(request('a', { maxNewTokens: 1000 }));
    const events: EngineEvent[] = [];
    for await (const event of generation.events) {
      events.push(event);
      if (events.length === 3) generation.cancel();
    }
    expect(events.at(-1)).toEqual({ kind: 'finished', id: 'a', reason: 'cancelled' });
    expect(events.length).toBeLessThan(20);
    expect(executor.liveHandles()).toBe(0);
    generation.cancel();
    close();
  });

  it('cancels a request whose reader leaves early', async () => {
    const { client, executor, close } = await createInProcessClient();
    for await (const event of client.submit(request('a', { maxNewTokens: 1000 })).events) {
      if (event.kind === 'token') break;
    }
    const stats = await client.refreshStats();
    expect(stats?.runningRequests).toBe(0);
    expect(executor.liveHandles()).toBe(0);
    expect(client.openRequests).toBe(0);
    close();
  });

  it('refuses requests beyond its limit with a time to try again', async () => {
    const { client, close } = await createInProcessClient({ limits: { maxBatch: 1, maxWaiting: 1 } });
    const open = ['a', 'b'].map((id) => client.submit(request(id)));
    expect(refusal(() => client.submit(request('c')))).toEqual({ code: 'overloaded', retryAfterSeconds: 1 });
    await Promise.all(open.map(collect));
    expect(await collect(client.submit(request('c')))).toHaveLength(5);
    close();
  });

  it('fails open requests with a time to try again when the engine dies, and refuses new ones', async () => {
    const { client, kill } = await createInProcessClient();
    const generation = client.submit(request('a', { maxNewTokens: 1000 }));
    const events: EngineEvent[] = [];
    for await (const event of generation.events) {
      events.push(event);
      if (events.length === 2) kill();
    }
    expect(events.at(-1)).toMatchObject({ kind: 'failed', code: 'engine_unavailable', retryAfterSeconds: 5 });
    expect(client.isReady()).toBe(false);
    expect(refusal(() => client.submit(request('b')))).toEqual({ code: 'engine_unavailable', retryAfterSeconds: 5 });
    expect(await client.refreshStats()).toBe(client.stats());
  });

  it('tells who waits for readiness why the engine could not start', async () => {
    const { link, port } = createMemoryChannel();
    const client = new RemoteEngineClient(link, { maxOpenRequests: 1 });
    port.send({ kind: 'startup-failed', message: 'the model package is damaged' });
    await expect(client.whenReady()).rejects.toThrow('the model package is damaged');
  });

  it('tells every engine process which adapters are pinned, as soon as it is ready', async () => {
    const { link, port } = createMemoryChannel();
    const pins: (readonly string[])[] = [];
    port.onMessage((message) => message.kind === 'pin' && pins.push(message.digests));
    const client = new RemoteEngineClient(link, { maxOpenRequests: 1 });
    const [first, second] = [fakeAdapter(1).digest, fakeAdapter(2).digest];
    const ready = async (): Promise<void> => {
      port.send({ kind: 'ready', device: 'cpu', precision: 'fp32', maxContext: 1 });
      await new Promise(setImmediate);
      await new Promise(setImmediate);
    };
    await ready();
    client.pin([first]);
    client.pin([first, second]);
    await ready();
    client.pin([]);
    await ready();
    expect(pins).toEqual([[first], [first, second], [first, second], []]);
  });

  it('shows a pinned adapter without any request for it, and goes on when one cannot be loaded', async () => {
    const [lost, kept] = [fakeAdapter(1), fakeAdapter(2)];
    const { client, close } = await createInProcessClient({ adapters: adapterSource([kept]) });
    client.pin([lost.digest, kept.digest]);
    for (let tries = 0; (client.stats()?.adapters.length ?? 0) === 0 && tries < 100; tries += 1) await client.refreshStats();
    expect(client.stats()?.adapters).toMatchObject([{ digest: kept.digest, pinned: true, leases: 0 }]);
    expect((await collect(client.submit(request('a', { adapterDigest: lost.digest })))).at(-1)).toMatchObject({ kind: 'failed' });
    expect((await collect(client.submit(request('b', { adapterDigest: kept.digest })))).at(-1)).toMatchObject({ kind: 'finished' });
    close();
  });

  it('answers who asks for counters with those of after the question, whatever comes by itself meanwhile', async () => {
    const { link, port } = createMemoryChannel();
    const engine = await createInProcessClient();
    const stats = await engine.client.refreshStats();
    engine.close();
    if (stats === null) throw new Error('the engine has no counters');
    const client = new RemoteEngineClient(link, { maxOpenRequests: 1 });
    let asked = 0;
    port.onMessage((message) => {
      if (message.kind !== 'stats') return;
      asked += 1;
      if (asked < 2) return;
      for (const generatedTokens of [1, 2]) port.send({ kind: 'stats', stats: { ...stats, generatedTokens }, asked: true });
    });
    const answers = [client.refreshStats(), client.refreshStats()];
    port.send({ kind: 'stats', stats: { ...stats, generatedTokens: 0 }, asked: false });
    expect((await Promise.all(answers)).map((answer) => answer?.generatedTokens)).toEqual([1, 2]);
  });

  it('answers pings, and reports counters on demand', async () => {
    const { client, close } = await createInProcessClient();
    await collect(client.submit(request('a', { maxNewTokens: 6 })));
    const stats = await client.refreshStats();
    expect(stats).toMatchObject({
      prefillCalls: 1,
      prefillTokens: 3,
      decodeCalls: 5,
      decodeRows: 5,
      generatedTokens: 6,
      runningRequests: 0,
    });
    close();
  });
});
