// Engine client, supervisor and a real engine process over the fake model: what users see when the process dies.
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger, systemClock } from '../../src/core/index.ts';
import { type EngineEvent, type FromEngine, type Generation, RemoteEngineClient, type ToEngine } from '../../src/engine/index.ts';
import { Supervisor } from '../../src/processes/index.ts';
import { request } from '../support/engine-harness.ts';
import { HANG_TOKEN } from '../support/fake-executor.ts';
import { fakeGreedyTokens } from '../support/fake-logits.ts';

let supervisor: Supervisor<ToEngine, FromEngine>;
let client: RemoteEngineClient;

beforeEach(async () => {
  supervisor = new Supervisor({
    name: 'engine',
    command: { entry: fileURLToPath(new URL('../support/engine-child.ts', import.meta.url)), execArgv: ['--import', 'tsx'] },
    protocol: { ping: { kind: 'ping' }, shutdown: { kind: 'shutdown' }, isReady: ({ kind }) => kind === 'ready' },
    backoff: { initialMs: 1, maxMs: 1, healthyMs: 60_000 },
    clock: systemClock,
    logger: silentLogger,
  });
  client = new RemoteEngineClient(supervisor, { maxOpenRequests: 20 });
  supervisor.start();
  await client.whenReady();
});

afterEach(() => supervisor.stop());

async function collect(generation: Generation): Promise<readonly EngineEvent[]> {
  const events: EngineEvent[] = [];
  for await (const event of generation.events) events.push(event);
  return events;
}

const tokensOf = (events: readonly EngineEvent[]): readonly number[] =>
  events.flatMap((event) => (event.kind === 'token' ? [event.tokenId] : []));

function killEngine(): void {
  if (supervisor.pid === undefined) throw new Error('no engine runs');
  process.kill(supervisor.pid, 'SIGKILL');
}

describe('an engine process', () => {
  it('answers many requests at a time', async () => {
    const prompts = Array.from({ length: 12 }, (_, index) => [index, index + 1]);
    const all = await Promise.all(
      prompts.map((promptTokenIds, index) => collect(client.submit(request(`r${index}`, { promptTokenIds, maxNewTokens: 30 })))),
    );
    expect(all.map(tokensOf)).toEqual(prompts.map((prompt) => fakeGreedyTokens(prompt, null, 30)));
    expect((await client.refreshStats())?.generatedTokens).toBe(360);
  });

  it('when killed in a call, fails what it ran, lets the client refuse more, and comes back clean', async () => {
    const normal = ['a', 'b', 'c'].map((id) => client.submit(request(id, { maxNewTokens: 900 })));
    const hanging = client.submit(request('hanging', { promptTokenIds: [HANG_TOKEN] }));
    const generations = [...normal, hanging];
    const first = generations[0]?.events[Symbol.asyncIterator]();
    await first?.next();
    killEngine();
    const ends = await Promise.all(generations.map(async (generation) => (await collect(generation)).at(-1)));
    for (const end of ends) expect(end).toMatchObject({ kind: 'failed', code: 'engine_unavailable', retryAfterSeconds: 5 });
    expect(() => client.submit(request('refused'))).toThrow('starting or restarting');
    await client.whenReady();
    expect(tokensOf(await collect(client.submit(request('again', { maxNewTokens: 9 }))))).toEqual(fakeGreedyTokens([1, 2, 3], null, 9));
    expect(client.openRequests).toBe(0);
  });

  it('fails what is left when it is stopped', async () => {
    const generation = client.submit(request('a', { maxNewTokens: 900 }));
    const events = collect(generation);
    await supervisor.stop();
    expect((await events).at(-1)).toMatchObject({ kind: 'failed', code: 'engine_unavailable' });
    expect(client.isReady()).toBe(false);
  });
});
