// Upload, versions, hot swap, rollback, files and removal through the routes.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { plainAdapter } from '../support/adapter-files.ts';
import { multipart, openHarness, uploadBody, type HttpHarness } from './harness.ts';
import { aNumber, matching } from './matchers.ts';

let harness: HttpHarness;
beforeAll(async () => {
  harness = await openHarness();
});
afterAll(async () => {
  await harness[Symbol.asyncDispose]();
});

async function upload(name: string, seed: number, query = '') {
  const { payload, headers } = await uploadBody(seed);
  return harness.app.inject({ method: 'PUT', url: `/v1/adapters/${name}${query}`, payload, headers });
}

const get = (url: string, headers: Readonly<Record<string, string>> = {}) => harness.app.inject({ url, headers });

function activate(name: string, version: number, etag: string) {
  return harness.app.inject({ method: 'PUT', url: `/admin/adapters/${name}/active`, headers: { 'if-match': etag }, payload: { version } });
}

async function answerOf(reference: string): Promise<unknown> {
  const answer = await harness.app.inject({
    method: 'POST',
    url: `/generate?adapter=${reference}`,
    payload: { inputs: 'x', max_new_tokens: 8 },
  });
  return answer.json();
}

describe('an upload', () => {
  it('makes a version and activates it; the same bytes again make none', async () => {
    const first = await upload('up', 1);
    expect(first.statusCode).toBe(201);
    expect(first.json()).toMatchObject({
      name: 'up',
      version: 1,
      digest: matching(/^[0-9a-f]{64}$/),
      bytes: aNumber,
      rank: 2,
      target_modules: ['q_proj'],
      kind: 'lora',
      created_at: aNumber,
    });
    const again = await upload('up', 1);
    expect([again.statusCode, again.json()]).toEqual([200, first.json()]);
    expect((await get('/v1/adapters/up/versions')).json()).toEqual({ object: 'list', data: [first.json()] });
  });

  it('takes files under any field name when the file names are right', async () => {
    const { config, tensors } = plainAdapter(3, 8);
    const form = new FormData();
    form.append('files', new Blob([config.slice()]), 'adapter_config.json');
    form.append('files', new Blob([tensors.slice()]), 'adapter_model.safetensors');
    const { payload, headers } = await multipart(form);
    expect((await harness.app.inject({ method: 'PUT', url: '/v1/adapters/named', payload, headers })).statusCode).toBe(201);
  });

  it('only stages with activate=false', async () => {
    expect((await upload('staged', 1, '?activate=false')).statusCode).toBe(201);
    expect((await get('/v1/adapters/staged')).json()).toMatchObject({ name: 'staged', version: null, version_count: 1 });
    expect((await get('/v1/models')).payload).not.toContain('staged');
  });
});

describe('a hot swap', () => {
  it('moves the pointer once for one ETag, and back', async () => {
    await upload('swap', 1);
    const before = await answerOf('swap');
    const etag = String((await get('/v1/adapters/swap')).headers.etag);
    await upload('swap', 2, '?activate=false');
    const moved = await activate('swap', 2, etag);
    expect(moved.statusCode).toBe(200);
    expect(moved.json()).toMatchObject({ version: 2, etag: moved.headers.etag });
    expect(await answerOf('swap')).not.toEqual(before);
    expect(await answerOf('swap@1')).toEqual(before);
    const lost = await activate('swap', 1, etag);
    expect(lost.statusCode).toBe(412);
    expect((await activate('swap', 1, String(moved.headers.etag))).statusCode).toBe(200);
    expect(await answerOf('swap')).toEqual(before);
  });

  it('is seen by polling with If-None-Match', async () => {
    await upload('polled', 1);
    const { etag } = (await get('/v1/adapters/polled')).headers;
    const unchanged = await get('/v1/adapters/polled', { 'if-none-match': String(etag) });
    expect([unchanged.statusCode, unchanged.payload]).toEqual([304, '']);
    await upload('polled', 2);
    expect((await get('/v1/adapters/polled', { 'if-none-match': String(etag) })).statusCode).toBe(200);
  });
});

describe('an adapter', () => {
  it('shows residency and load time to an admin, and keeps its placement', async () => {
    await upload('placed', 5);
    await answerOf('placed');
    const placement = await harness.app.inject({
      method: 'PUT',
      url: '/admin/adapters/placed/placement',
      payload: { pinned: true, mode: 'side' },
    });
    expect(placement.json()).toMatchObject({ pinned: true, mode: 'side' });
    expect((await get('/admin/adapters/placed')).json()).toMatchObject({
      name: 'placed',
      pinned: true,
      versions: [{ version: 1, active: true, leases: 0, resident: true, pinned: true, hits: 0, load_ms: aNumber }],
    });
    await answerOf('placed');
    expect((await get('/admin/adapters/placed')).json()).toMatchObject({ versions: [{ hits: 1 }] });
  });

  it('gives its files back as they were uploaded', async () => {
    await upload('files', 6);
    const { config, tensors } = plainAdapter(6, 8);
    const first = await get('/v1/adapters/files/versions/1/files/adapter_config.json');
    expect(first.rawPayload.equals(Buffer.from(config))).toBe(true);
    expect(first.headers).toMatchObject({ 'content-type': 'application/octet-stream', 'content-length': String(config.length) });
    expect((await get('/v1/adapters/files/versions/1/files/adapter_model.safetensors')).rawPayload.equals(Buffer.from(tensors))).toBe(true);
  });

  it('is gone after its removal, version by version or whole', async () => {
    await upload('gone', 7);
    await upload('gone', 8);
    expect((await harness.app.inject({ method: 'DELETE', url: '/v1/adapters/gone/versions/1' })).json()).toEqual({
      id: 'gone@1',
      object: 'adapter',
      deleted: true,
    });
    expect((await get('/v1/models/gone@1')).statusCode).toBe(404);
    expect((await harness.app.inject({ method: 'DELETE', url: '/v1/adapters/gone' })).json()).toEqual({
      id: 'gone',
      object: 'adapter',
      deleted: true,
    });
    expect((await get('/v1/adapters/gone')).statusCode).toBe(404);
    expect((await upload('gone', 7)).json()).toMatchObject({ version: 3 });
  });
});
