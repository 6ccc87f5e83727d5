// Two tenants with the same adapter name: each gets its own; no route shows, changes or names what belongs to the other.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { keyHeader, multipart, openHarness, uploadBody, type HttpHarness } from './harness.ts';

let harness: HttpHarness;
let acme: { readonly authorization: string };
let rival: { readonly authorization: string };
/** Of acme. */
let file: string;
let job: string;
let rivalFile: string;
beforeAll(async () => {
  harness = await openHarness();
  keyHeader(harness, 'root', 'operator');
  acme = keyHeader(harness, 'acme', 'admin');
  rival = keyHeader(harness, 'rival', 'admin');
  await harness.publish('acme', 'shared-name', 1);
  await harness.publish('rival', 'shared-name', 2);
  await harness.publish('acme', 'private', 3);
  await harness.publish('samples', 'sample', 4);
  file = await uploadRows(acme);
  rivalFile = await uploadRows(rival);
  const made = await call(
    { method: 'POST', url: '/v1/fine_tuning/jobs', payload: { model: 'private', training_file: file, suffix: 'secret' } },
    acme,
  );
  job = made.json<{ id: string }>().id;
});
afterAll(async () => {
  await harness[Symbol.asyncDispose]();
});

interface Call {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  readonly url: string;
  readonly payload?: object;
  readonly headers?: Readonly<Record<string, string>>;
}

function call(request: Call, as: { readonly authorization: string }) {
  return harness.app.inject({ ...request, headers: { ...request.headers, ...as } });
}

/** The body without what differs by its nature: names that were asked for, and request ids. */
function normalised(payload: string, name: string): string {
  return payload.replaceAll(name, 'NAME').replace(/request id [\w-]+/, 'request id');
}

const NAMED = (name: string): readonly Call[] => [
  { method: 'POST', url: '/v1/completions', payload: { model: name, prompt: 'a' } },
  { method: 'POST', url: '/v1/completions', payload: { model: `test-base:${name}`, prompt: 'a', stream: true } },
  { method: 'POST', url: '/v1/completions', payload: { model: `acme/${name}`, prompt: 'a' } },
  { method: 'POST', url: '/v1/completions', payload: { model: `${name}@1`, prompt: 'a' } },
  { method: 'POST', url: '/v1/chat/completions', payload: { model: name, messages: [{ role: 'user', content: 'a' }] } },
  { method: 'POST', url: `/generate?adapter=${name}`, payload: { inputs: 'a' } },
  { method: 'POST', url: `/generate_stream?adapter=${name}`, payload: { inputs: 'a' } },
  { method: 'POST', url: '/', payload: { inputs: 'a', parameters: { adapter_id: name } } },
  { method: 'GET', url: `/v1/models/${name}` },
  { method: 'GET', url: `/v1/models/acme/${name}` },
  { method: 'GET', url: `/v1/adapters/${name}` },
  { method: 'GET', url: `/v1/adapters/${name}/versions` },
  { method: 'GET', url: `/v1/adapters/${name}/versions/1/files/adapter_config.json` },
  { method: 'GET', url: `/v1/adapters/${name}/versions/1/export?format=peft` },
  { method: 'GET', url: `/v1/adapters/${name}/inspect` },
  { method: 'GET', url: `/v1/adapters/${name}/compare/sample` },
  { method: 'DELETE', url: `/v1/adapters/${name}` },
  { method: 'DELETE', url: `/v1/adapters/${name}/versions/1` },
  { method: 'GET', url: `/admin/adapters/${name}` },
  { method: 'PUT', url: `/admin/adapters/${name}/active`, payload: { version: 1 }, headers: { 'if-match': '*' } },
  { method: 'PUT', url: `/admin/adapters/${name}/active`, payload: { version: 1 } },
  { method: 'PUT', url: `/admin/adapters/${name}/placement`, payload: { pinned: true } },
  { method: 'POST', url: '/v1/unload_lora_adapter', payload: { lora_name: name } },
  { method: 'POST', url: '/v1/load_lora_adapter', payload: { lora_name: 'mine', lora_path: name } },
  { method: 'POST', url: '/v1/load_lora_adapter', payload: { lora_name: 'mine', lora_path: `acme/${name}@1` } },
];

const FILES = (id: string): readonly Call[] => [
  { method: 'GET', url: `/v1/files/${id}` },
  { method: 'GET', url: `/v1/files/${id}/content` },
  { method: 'DELETE', url: `/v1/files/${id}` },
  { method: 'POST', url: '/v1/fine_tuning/jobs', payload: { model: 'test-base', training_file: id } },
  { method: 'POST', url: '/v1/fine_tuning/jobs', payload: { model: 'test-base', training_file: rivalFile, validation_file: id } },
];

const JOBS = (id: string): readonly Call[] => [
  { method: 'GET', url: `/v1/fine_tuning/jobs/${id}` },
  { method: 'GET', url: `/v1/fine_tuning/jobs/${id}/events` },
  { method: 'GET', url: `/v1/fine_tuning/jobs/${id}/events?stream=true` },
  { method: 'GET', url: `/v1/fine_tuning/jobs/${id}/checkpoints` },
  { method: 'POST', url: `/v1/fine_tuning/jobs/${id}/cancel` },
  { method: 'POST', url: `/v1/fine_tuning/jobs/${id}/pause` },
  { method: 'POST', url: `/v1/fine_tuning/jobs/${id}/resume` },
];

async function uploadRows(as: { readonly authorization: string }): Promise<string> {
  const form = new FormData();
  form.set('purpose', 'fine-tune');
  form.set('file', new Blob(['{"prompt":"a","completion":"b"}\n']), 'rows.jsonl');
  const { payload, headers } = await multipart(form);
  const answer = await harness.app.inject({ method: 'POST', url: '/v1/files', payload, headers: { ...headers, ...as } });
  return answer.json<{ id: string }>().id;
}

describe('a foreign file or job', () => {
  it.each(
    [...FILES('').keys()]
      .map((index) => ({ kind: 'file', index, name: FILES('…')[index]?.url }))
      .concat([...JOBS('').keys()].map((index) => ({ kind: 'job', index, name: JOBS('…')[index]?.url }))),
  )('looks exactly like a missing one: $kind $name', async ({ kind, index }) => {
    const calls = kind === 'file' ? FILES : JOBS;
    const id = kind === 'file' ? file : job;
    const [foreign, missing] = [calls(id)[index], calls('nobody')[index]];
    if (foreign === undefined || missing === undefined) throw new Error('no such call');
    const [answer, other] = [await call(foreign, rival), await call(missing, rival)];
    expect([answer.statusCode, other.statusCode]).toEqual([404, 404]);
    expect(normalised(answer.payload, id)).toBe(normalised(other.payload, 'nobody'));
  });

  it('cannot be continued from, nor seen in a list, and is still whole', async () => {
    const asked = (model: string): Call => ({ method: 'POST', url: '/v1/fine_tuning/jobs', payload: { model, training_file: rivalFile } });
    const [answer, other] = [await call(asked('private'), rival), await call(asked('nobody'), rival)];
    expect([answer.statusCode, normalised(answer.payload, 'private')]).toEqual([404, normalised(other.payload, 'nobody')]);
    for (const url of ['/v1/files', '/v1/fine_tuning/jobs', `/v1/files?after=${file}`, `/v1/fine_tuning/jobs?after=${job}`]) {
      expect((await call({ method: 'GET', url }, rival)).payload).not.toMatch(new RegExp(`acme|secret|"${file}"|"${job}"`));
    }
    expect((await call({ method: 'GET', url: `/v1/files/${file}` }, acme)).statusCode).toBe(200);
    expect((await call({ method: 'GET', url: `/v1/fine_tuning/jobs/${job}` }, acme)).json()).toMatchObject({
      adapter_name: 'secret',
      error: null,
    });
  });
});

describe('a foreign adapter', () => {
  it.each(NAMED('private').map((foreign, index) => ({ ...foreign, missing: NAMED('nobody')[index] })))(
    'looks exactly like a missing one: $method $url',
    async ({ missing, ...foreign }) => {
      const answer = await call(foreign, rival);
      const other = await call(missing ?? foreign, rival);
      expect(answer.statusCode).toBe(404);
      expect(other.statusCode).toBe(404);
      expect(normalised(answer.payload, 'private')).toBe(normalised(other.payload, 'nobody'));
      expect(answer.headers['x-adapter-id']).toBeUndefined();
    },
  );

  it('is still whole after all of these calls', async () => {
    const answer = await call({ method: 'GET', url: '/v1/adapters/private' }, acme);
    expect(answer.json()).toMatchObject({ name: 'private', version: 1, pinned: false });
    expect(harness.adapters.leaseCount()).toBe(0);
  });

  it('is in no list', async () => {
    for (const url of ['/v1/models', '/v1/adapters', '/admin/keys']) {
      const answer = await call({ method: 'GET', url }, rival);
      expect(answer.statusCode).toBe(200);
      expect(answer.payload).not.toMatch(/acme|private/);
    }
  });
});

describe('one name of two tenants', () => {
  it('answers with the own adapter', async () => {
    const ask = { method: 'POST', url: '/generate?adapter=shared-name', payload: { inputs: 'x', max_new_tokens: 8 } } as const;
    const [left, right] = [await call(ask, acme), await call(ask, rival)];
    expect(left.json()).not.toEqual(right.json());
    expect(left.headers['x-adapter-digest']).not.toBe(right.headers['x-adapter-digest']);
    expect(left.headers['x-adapter-id']).toBe('shared-name@1');
  });

  it('is swapped and removed by its own tenant only', async () => {
    const before = (await call({ method: 'GET', url: '/v1/adapters/shared-name' }, acme)).payload;
    const { payload, headers } = await uploadBody(9);
    const upload = await harness.app.inject({ method: 'PUT', url: '/v1/adapters/shared-name', payload, headers: { ...headers, ...rival } });
    expect(upload.json()).toMatchObject({ version: 2 });
    expect((await call({ method: 'DELETE', url: '/v1/adapters/shared-name' }, rival)).statusCode).toBe(200);
    expect((await call({ method: 'GET', url: '/v1/adapters/shared-name' }, acme)).payload).toBe(before);
  });
});

describe('a sample adapter', () => {
  it('is readable by every tenant and changed by none', async () => {
    for (const tenant of [acme, rival]) {
      expect(
        (await call({ method: 'POST', url: '/generate?adapter=sample', payload: { inputs: 'x', max_new_tokens: 1 } }, tenant)).statusCode,
      ).toBe(200);
      expect((await call({ method: 'GET', url: '/v1/adapters/sample' }, tenant)).json()).toMatchObject({ shared: true });
      for (const change of NAMED('sample').filter(({ method }) => method === 'PUT' || method === 'DELETE')) {
        const answer = await call(change, tenant);
        expect(answer.statusCode).toBeGreaterThanOrEqual(400);
      }
    }
    expect((await call({ method: 'GET', url: '/v1/adapters/sample' }, acme)).json()).toMatchObject({ version: 1, pinned: false });
  });
});

describe('keys', () => {
  it('of an admin reach only its own tenant and never a higher role', async () => {
    const created = await call({ method: 'POST', url: '/admin/keys', payload: { role: 'inference' } }, acme);
    expect(created.statusCode).toBe(201);
    const { id, tenant } = created.json<{ id: string; tenant: string }>();
    expect(tenant).toBe('acme');
    expect((await call({ method: 'POST', url: '/admin/keys', payload: { role: 'inference', tenant: 'acme' } }, rival)).statusCode).toBe(
      403,
    );
    expect((await call({ method: 'POST', url: '/admin/keys', payload: { role: 'operator' } }, acme)).statusCode).toBe(403);
    const foreign = await call({ method: 'DELETE', url: `/admin/keys/${id}` }, rival);
    const missing = await call({ method: 'DELETE', url: '/admin/keys/nobody' }, rival);
    expect([foreign.statusCode, normalised(foreign.payload, id)]).toEqual([404, normalised(missing.payload, 'nobody')]);
    expect((await call({ method: 'DELETE', url: `/admin/keys/${id}` }, acme)).statusCode).toBe(200);
  });
});
