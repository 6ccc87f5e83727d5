// The life of a request: early failures are statuses, late ones events, a closed connection frees the row, and leases always balance.
import { connect } from 'node:net';
import { once } from 'node:events';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AppError } from '../../src/core/index.ts';
import { openHarness, type HttpHarness } from './harness.ts';
import { having, matching } from './matchers.ts';
import { ManualEngine } from './manual-engine.ts';
import { readSse } from './sse-events.ts';

const engine = new ManualEngine();
let harness: HttpHarness;
let address = '';
let draining = false;
beforeAll(async () => {
  harness = await openHarness({ client: engine, isDraining: () => draining });
  await harness.publish('default', 'mine', 1);
  address = await harness.app.listen({ host: '127.0.0.1', port: 0 });
});
beforeEach(() => {
  engine.generations.length = 0;
  engine.refusal = null;
});
afterAll(async () => {
  await harness[Symbol.asyncDispose]();
});

const token = (text: string) => ({ kind: 'token', tokenId: text.charCodeAt(0), logprob: { logprob: -1, top: [] } }) as const;
const DEAD = { kind: 'failed', code: 'engine_unavailable', message: 'the engine is restarting', retryAfterSeconds: 3 } as const;

const STREAMS = [
  ['/v1/completions', { model: 'mine', prompt: 'a', stream: true }],
  ['/v1/chat/completions', { model: 'mine', messages: [{ role: 'user', content: 'a' }], stream: true }],
  ['/generate_stream?adapter=mine', { inputs: 'a' }],
  ['/?adapter=mine', { inputs: 'a', stream: true }],
] as const;
const WHOLES = STREAMS.map(([url, body]) => [url.replace('_stream', ''), { ...body, stream: false }] as const);

function post(url: string, payload: object) {
  return harness.app.inject({ method: 'POST', url, payload });
}

describe('an engine that fails', () => {
  it.each([...STREAMS, ...WHOLES])('before the first token makes a 503 with Retry-After of %s %j', async (url, payload) => {
    const pending = post(url, payload);
    (await engine.first()).emit(DEAD);
    const answer = await pending;
    expect(answer.statusCode).toBe(503);
    expect(answer.headers['retry-after']).toBe('3');
    expect(answer.payload).toContain('the engine is restarting');
    expect(harness.adapters.leaseCount()).toBe(0);
  });

  it.each(STREAMS)('after the first token makes an error event in the stream of %s %j', async (url, payload) => {
    const pending = post(url, payload);
    (await engine.first()).emit(token('x'), DEAD);
    const answer = await pending;
    expect(answer.statusCode).toBe(200);
    const last = JSON.parse(readSse(answer.payload).at(-1) ?? '') as object;
    const openai = { error: having({ code: 'engine_unavailable', type: 'server_error' }) };
    expect(last).toEqual(url.startsWith('/v1/') ? openai : { error: 'the engine is restarting', error_type: 'unavailable' });
    expect(harness.adapters.leaseCount()).toBe(0);
  });

  it('by a failed generation makes 500 on /v1 and 424 on TGI', async () => {
    const failed = { kind: 'failed', code: 'generation_failed', message: 'the model call failed' } as const;
    const openai = post('/v1/completions', { prompt: 'a' });
    (await engine.first()).emit(failed);
    expect((await openai).statusCode).toBe(500);
    engine.generations.length = 0;
    const tgi = post('/generate', { inputs: 'a' });
    (await engine.first()).emit(failed);
    expect((await tgi).statusCode).toBe(424);
  });

  it('to take a later row cancels the rows that got in', async () => {
    engine.refusal = { after: 2, error: new AppError('overloaded', 'the queue is full', { retryAfterSeconds: 1 }) };
    const answer = await post('/v1/completions', { model: 'mine', prompt: ['a', 'b', 'c'] });
    expect(answer.statusCode).toBe(503);
    expect(answer.headers['retry-after']).toBe('1');
    expect(engine.generations.map((generation) => generation.cancelled)).toEqual([true, true]);
    expect(harness.adapters.leaseCount()).toBe(0);
  });

  it('in one choice cancels the others', async () => {
    const pending = post('/v1/completions', { model: 'mine', prompt: 'a', n: 2, stream: true });
    await engine.first();
    engine.generations[0]?.emit(token('x'));
    engine.generations[1]?.emit(DEAD);
    expect(readSse((await pending).payload).at(-1)).toContain('engine_unavailable');
    expect(engine.generations[0]?.cancelled).toBe(true);
    expect(harness.adapters.leaseCount()).toBe(0);
  });

  it('by a bug answers 500 without details and logs them', async () => {
    engine.refusal = { after: 0, error: new Error('secret internals') };
    const answer = await post('/v1/completions', { model: 'mine', prompt: 'a' });
    expect(answer.statusCode).toBe(500);
    expect(answer.payload).not.toContain('secret internals');
    expect(harness.log.join('')).toContain('secret internals');
    expect(harness.adapters.leaseCount()).toBe(0);
  });
});

describe('what the engine is asked', () => {
  it('is pinned: a swap during the request changes nothing of it', async () => {
    const pending = post('/v1/completions', { model: 'mine', prompt: 'a', max_tokens: 1 });
    const generation = await engine.first();
    const pinned = generation.request.adapterDigest;
    await harness.publish('default', 'mine', 2);
    expect(harness.adapters.leaseCount(pinned ?? undefined)).toBe(1);
    generation.emit(token('x'), { kind: 'finished', reason: 'length' });
    expect((await pending).headers['x-adapter-digest']).toBe(pinned);
    expect(harness.adapters.leaseCount()).toBe(0);
  });

  it('has the defaults of OpenAI, the caller as group, and a fresh id for each row', async () => {
    const pending = post('/v1/completions', { prompt: 'a', n: 2, seed: 2 ** 32 + 5 });
    await engine.first();
    for (const generation of engine.generations) generation.emit(DEAD);
    await pending;
    const [first, second] = engine.generations.map((generation) => generation.request);
    expect(first).toMatchObject({ group: 'default', adapterDigest: null, maxNewTokens: 16, logprobs: null, promptLogprobs: null });
    expect(first?.sampling).toMatchObject({ temperature: 1, topK: 0, topP: 1, minP: 0, typicalP: 1, repetitionPenalty: 1, seed: 5 });
    expect(second?.sampling.seed).toBe(6);
    expect(first?.id).not.toBe(second?.id);
  });

  it('is cancelled at a stop string', async () => {
    const pending = post('/v1/completions', { prompt: 'a', stop: 'xy' });
    const generation = await engine.first();
    generation.emit(token('x'), token('y'));
    expect((await pending).json()).toMatchObject({ choices: [{ text: '', finish_reason: 'stop' }] });
    expect(generation.cancelled).toBe(true);
  });
});

describe('a client that goes away', () => {
  it.each([...STREAMS, ...WHOLES])('frees its row and its lease: %s %j', async (url, payload) => {
    const socket = connect(Number(new URL(address).port), '127.0.0.1');
    const body = JSON.stringify(payload);
    socket.write(
      `POST ${url} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    const generation = await engine.first();
    expect(harness.adapters.leaseCount()).toBe(1);
    expect(generation.cancelled).toBe(false);
    if (url.includes('_stream') || ('stream' in payload && payload.stream)) {
      generation.emit(token('x'));
      await once(socket, 'data');
    }
    socket.destroy();
    await generation.ended;
    expect(harness.adapters.leaseCount()).toBe(0);
  });
});

describe('an open server', () => {
  it('answers only under loopback names, so that no web page reaches it by its own name', async () => {
    expect((await harness.app.inject({ url: '/info', headers: { host: 'evil.example:8080' } })).statusCode).toBe(403);
    for (const host of ['localhost', 'localhost:8080', '127.0.0.1:8080', '[::1]:8080']) {
      expect((await harness.app.inject({ url: '/info', headers: { host } })).statusCode).toBe(200);
    }
  });

  it('is not ready while it drains', async () => {
    draining = true;
    const answer = await harness.app.inject('/readyz');
    draining = false;
    expect(answer.statusCode).toBe(503);
    expect((await harness.app.inject('/healthz')).statusCode).toBe(200);
  });
});

// Last, because it makes the first key: from then on the server is not open any more.
describe('the log', () => {
  it('has one line a request, without prompt, answer or key', async () => {
    const { secret } = harness.tenants.createKey(harness.tenants.authenticate(undefined).tenant, 'operator');
    const lineCount = harness.log.length;
    const pending = harness.app.inject({
      method: 'POST',
      url: '/generate?adapter=mine',
      headers: { authorization: `Bearer ${secret}`, 'x-request-id': 'my-request' },
      payload: { inputs: 'my secret prompt', max_new_tokens: 1 },
    });
    (await engine.first()).emit(token('z'), { kind: 'finished', reason: 'length' });
    expect((await pending).headers['x-request-id']).toBe('my-request');
    const lines = harness.log
      .slice(lineCount)
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter((line) => line['msg'] === 'request');
    expect(lines).toEqual([
      having({
        requestId: 'my-request',
        route: '/generate',
        status: 200,
        tenant: 'default',
        adapter: matching(/^mine@/),
      }),
    ]);
    expect(harness.log.slice(lineCount).join('')).not.toContain('secret prompt');
    expect(harness.log.join('')).not.toContain(secret);
  });

  it('takes only plain request ids from clients', async () => {
    const answer = await harness.app.inject({ url: '/healthz', headers: { 'x-request-id': 'a b\u00e9' } });
    expect(answer.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
  });
});
