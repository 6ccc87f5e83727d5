// A canary through the routes: set and shown, met by key, ended by the next move, and gone with its version.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openHarness, uploadBody, type HttpHarness } from './harness.ts';

let harness: HttpHarness;
let count = 0;
/** Versions 1 to 3 of it are stored, and 1 is active. */
let name: string;

beforeAll(async () => {
  harness = await openHarness();
});
afterAll(async () => {
  await harness[Symbol.asyncDispose]();
});
beforeEach(async () => {
  count += 1;
  name = `split-${count}`;
  for (const seed of [1, 2, 3]) {
    const { payload, headers } = await uploadBody(seed);
    await harness.app.inject({ method: 'PUT', url: `/v1/adapters/${name}?activate=${seed === 1}`, payload, headers });
  }
});

const get = (url: string) => harness.app.inject({ url });

async function activate(body: object, etag = '*') {
  return await harness.app.inject({ method: 'PUT', url: `/admin/adapters/${name}/active`, headers: { 'if-match': etag }, payload: body });
}

const split = (share: number) => activate({ version: 1, canary: { version: 2, share } });

interface Asking {
  readonly model?: string;
  readonly user?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The version that answered. */
async function metBy({ model = name, user, headers = {} }: Asking): Promise<string> {
  const payload = { model, prompt: 'say:a\n', max_tokens: 1, ...(user !== undefined && { user }) };
  const answer = await harness.app.inject({ method: 'POST', url: '/v1/completions', payload, headers });
  return String(answer.headers['x-adapter-id']).replace(`${name}@`, '');
}

async function metByAll(askings: readonly Asking[]): Promise<readonly string[]> {
  const met: string[] = [];
  for (const asking of askings) met.push(await metBy(asking));
  return met;
}

const USERS: readonly Asking[] = Array.from({ length: 40 }, (_, index) => ({ user: `user-${index}` }));

describe('a canary', () => {
  it('is shown wherever the adapter is, and moves the etag', async () => {
    const before = await get(`/v1/adapters/${name}`);
    expect(before.json()).toMatchObject({ canary: null });
    const answer = await activate({ version: 1, canary: { version: 2, share: 0.1 } }, String(before.headers.etag));
    expect(answer.json()).toMatchObject({ version: 1, canary: { version: 2, share: 0.1 }, etag: answer.headers.etag });
    expect(answer.headers.etag).not.toBe(before.headers.etag);
    expect((await get(`/v1/adapters/${name}`)).json()).toMatchObject({ canary: { version: 2, share: 0.1 } });
    expect((await get(`/admin/adapters/${name}`)).json()).toMatchObject({
      canary: { version: 2, share: 0.1 },
      versions: [
        { version: 1, active: true, canary: false },
        { version: 2, active: false, canary: true },
        { version: 3, active: false, canary: false },
      ],
    });
    expect((await activate({ version: 1, canary: { version: 3, share: 0.1 } }, String(before.headers.etag))).statusCode).toBe(412);
  });

  it('is met by a user always or never, by the header before the user, on every surface', async () => {
    await split(0.5);
    const first = await metByAll(USERS);
    expect(new Set(first)).toEqual(new Set(['1', '2']));
    expect(await metByAll(USERS)).toEqual(first);
    const header = { 'x-canary-key': 'one' };
    const byHeader = await metByAll(USERS.map((asking) => ({ ...asking, headers: header })));
    expect(new Set(byHeader).size).toBe(1);
    const tgi = await harness.app.inject({ method: 'POST', url: `/generate?adapter=${name}`, payload: { inputs: 'a' }, headers: header });
    expect(tgi.headers['x-adapter-id']).toBe(`${name}@${byHeader[0]}`);
    const chat = await harness.app.inject({
      method: 'POST',
      url: '/v1/chat/completions',
      payload: { model: name, user: 'user-0', messages: [{ role: 'user', content: 'a' }], max_tokens: 1 },
    });
    expect(chat.headers['x-adapter-id']).toBe(`${name}@${first[0]}`);
  });

  it('is met by about its share of requests that bring no key, and by a retry with the same id again', async () => {
    await split(0.5);
    const met = await metByAll(Array.from({ length: 60 }, (_, index) => ({ headers: { 'x-request-id': `fixed-${index}` } })));
    const canaries = met.filter((version) => version === '2').length;
    expect(canaries).toBeGreaterThan(15);
    expect(canaries).toBeLessThan(45);
    expect(await metBy({ headers: { 'x-request-id': 'fixed-0' } })).toBe(met[0]);
  });

  it('is not met by who names a version, and /v1/models shows the active one', async () => {
    await split(0.999);
    expect(await metByAll(USERS.slice(0, 5).map(({ user }) => ({ model: `${name}@1`, user: user ?? '' })))).toEqual(Array(5).fill('1'));
    const model = (await get(`/v1/models/${name}`)).json<{ root: string }>();
    expect(model.root).toBe((await get(`/v1/adapters/${name}`)).json<{ digest: string }>().digest);
  });

  it('ends with an activation without one, and with null', async () => {
    for (const body of [{ version: 1 }, { version: 1, canary: null }, { version: 3 }]) {
      await split(0.5);
      expect((await activate(body)).json()).toMatchObject({ version: body.version, canary: null });
      expect(new Set(await metByAll(USERS))).toEqual(new Set([String(body.version)]));
    }
  });

  it('goes with its version, and the pointer stays', async () => {
    await split(0.5);
    await harness.app.inject({ method: 'DELETE', url: `/v1/adapters/${name}/versions/2` });
    expect((await get(`/v1/adapters/${name}`)).json()).toMatchObject({ version: 1, canary: null });
    expect(new Set(await metByAll(USERS))).toEqual(new Set(['1']));
  });

  it('goes with the active version: then the name answers nobody', async () => {
    await split(0.5);
    await harness.app.inject({ method: 'DELETE', url: `/v1/adapters/${name}/versions/1` });
    expect((await get(`/v1/adapters/${name}`)).json()).toMatchObject({ version: null, canary: null, version_count: 2 });
    const answer = await harness.app.inject({ method: 'POST', url: '/v1/completions', payload: { model: name, prompt: 'a' } });
    expect(answer.statusCode).toBe(404);
  });

  it.each<readonly [number, object]>([
    [400, { version: 1, canary: { version: 2, share: 0 } }],
    [400, { version: 1, canary: { version: 2, share: 1 } }],
    [400, { version: 1, canary: { version: 2 } }],
    [400, { version: 1, canary: { version: 1, share: 0.5 } }],
    [400, { version: 1, canary: { version: 2, share: 0.5, sticky: true } }],
    [404, { version: 1, canary: { version: 9, share: 0.5 } }],
  ])('is refused with %d: %j', async (status, body) => {
    expect((await activate(body)).statusCode).toBe(status);
    expect((await get(`/v1/adapters/${name}`)).json()).toMatchObject({ version: 1, canary: null });
  });
});
