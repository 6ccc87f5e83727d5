// What is wrong before or beside a JSON body: content types, encodings, sizes, paths, methods, preconditions, multipart uploads.
import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { multipart, openHarness, uploadBody, type HttpHarness } from './harness.ts';
import { aString, containing, having } from './matchers.ts';

const UPLOAD_MAX_BYTES = 64 * 1024;
const JSON_TYPE = { 'content-type': 'application/json' };

let harness: HttpHarness;
beforeAll(async () => {
  harness = await openHarness({ uploadMaxBytes: UPLOAD_MAX_BYTES });
  await harness.publish('default', 'mine', 1);
});
afterAll(async () => {
  await harness[Symbol.asyncDispose]();
});

interface Call {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly payload?: string | Buffer;
}

const CALLS: readonly (readonly [name: string, call: Call, status: number, message: string])[] = [
  ['a body that is not JSON', { method: 'POST', url: '/v1/completions', headers: JSON_TYPE, payload: '{"prompt": ' }, 400, 'JSON'],
  ['an empty body', { method: 'POST', url: '/v1/completions', headers: JSON_TYPE, payload: '' }, 400, 'Body cannot be empty'],
  [
    'a body with __proto__',
    { method: 'POST', url: '/v1/completions', headers: JSON_TYPE, payload: '{"__proto__":{"a":1},"prompt":"a"}' },
    400,
    'not valid JSON',
  ],
  [
    'text/plain',
    { method: 'POST', url: '/generate', headers: { 'content-type': 'text/plain' }, payload: '{"inputs":"a"}' },
    415,
    'application/json',
  ],
  [
    'a form',
    { method: 'POST', url: '/v1/completions', headers: { 'content-type': 'application/x-www-form-urlencoded' }, payload: 'prompt=a' },
    415,
    'application/json',
  ],
  [
    'a body over the limit',
    { method: 'POST', url: '/v1/completions', headers: JSON_TYPE, payload: `{"prompt":"${'x'.repeat(9e6)}"}` },
    413,
    'larger',
  ],
  [
    'an unknown query field',
    { method: 'POST', url: '/generate?adaptor=x', headers: JSON_TYPE, payload: '{"inputs":"a"}' },
    422,
    'unsupported parameter "adaptor" in the query',
  ],
  [
    'two references',
    { method: 'POST', url: '/generate?adapter=mine', headers: JSON_TYPE, payload: '{"inputs":"a","parameters":{"adapter_id":"other"}}' },
    422,
    'two different adapters',
  ],
  [
    'adapter against base',
    { method: 'POST', url: '/generate?adapter=test-base', headers: JSON_TYPE, payload: '{"inputs":"a","adapter_id":"mine"}' },
    422,
    'two different adapters',
  ],
  ['an unknown path', { method: 'GET', url: '/v1/nothing' }, 404, 'there is no route GET /v1/nothing'],
  ['a wrong method', { method: 'GET', url: '/v1/completions' }, 405, '/v1/completions: got method GET, expected POST'],
  ['a wrong method on TGI', { method: 'DELETE', url: '/generate' }, 405, 'got method DELETE, expected POST'],
  ['a wrong method on admin', { method: 'GET', url: '/admin/adapters/mine/active' }, 405, 'expected PUT'],
  [
    'a swap without If-Match',
    { method: 'PUT', url: '/admin/adapters/mine/active', headers: JSON_TYPE, payload: '{"version":1}' },
    428,
    'If-Match',
  ],
  [
    'a lost race',
    { method: 'PUT', url: '/admin/adapters/mine/active', headers: { ...JSON_TYPE, 'if-match': '"old"' }, payload: '{"version":1}' },
    412,
    'etag',
  ],
  [
    'a swap to no version',
    { method: 'PUT', url: '/admin/adapters/mine/active', headers: { ...JSON_TYPE, 'if-match': '*' }, payload: '{"version":9}' },
    404,
    '9',
  ],
  [
    'a swap to version 0',
    { method: 'PUT', url: '/admin/adapters/mine/active', headers: { ...JSON_TYPE, 'if-match': '*' }, payload: '{"version":0}' },
    400,
    '"version": got 0, expected at least 1',
  ],
  [
    'a swap of nobody',
    { method: 'PUT', url: '/admin/adapters/nobody/active', headers: JSON_TYPE, payload: '{"version":1}' },
    404,
    'no such adapter',
  ],
  ['an empty placement', { method: 'PUT', url: '/admin/adapters/mine/placement', headers: JSON_TYPE, payload: '{}' }, 400, 'fewer than 1'],
  [
    'an unknown placement',
    { method: 'PUT', url: '/admin/adapters/mine/placement', headers: JSON_TYPE, payload: '{"mode":"fast"}' },
    400,
    '"mode": got "fast", expected "auto", "side" or "merged"',
  ],
  [
    'a key with an unknown role',
    { method: 'POST', url: '/admin/keys', headers: JSON_TYPE, payload: '{"role":"root"}' },
    400,
    '"role": got "root", expected "inference", "admin" or "operator"',
  ],
  [
    'a key for a bad tenant',
    { method: 'POST', url: '/admin/keys', headers: JSON_TYPE, payload: '{"role":"operator","tenant":"A B"}' },
    400,
    '"tenant": got "A B", expected lower-case',
  ],
  [
    'a first key that is no operator',
    { method: 'POST', url: '/admin/keys', headers: JSON_TYPE, payload: '{"role":"admin"}' },
    400,
    'first key',
  ],
  ['an unknown key', { method: 'DELETE', url: '/admin/keys/nobody' }, 404, 'key'],
  [
    'tokenizing nothing',
    { method: 'POST', url: '/tokenize', headers: JSON_TYPE, payload: '{}' },
    422,
    'exactly one of "inputs" (TGI) and "prompt" (vLLM)',
  ],
  [
    'detokenizing no list',
    { method: 'POST', url: '/detokenize', headers: JSON_TYPE, payload: '{"tokens":"a"}' },
    422,
    '"tokens": got "a", expected a list',
  ],
  [
    'detokenizing an unknown id',
    { method: 'POST', url: '/detokenize', headers: JSON_TYPE, payload: '{"tokens":[999]}' },
    422,
    '"tokens": got token id 999, expected ids below 258',
  ],
  [
    'version zero in a path',
    { method: 'DELETE', url: '/v1/adapters/mine/versions/0' },
    400,
    '"version": got "0", expected a version number from 1',
  ],
  [
    'a file that no upload has',
    { method: 'GET', url: '/v1/adapters/mine/versions/1/files/passwd' },
    404,
    'has the files adapter_config.json',
  ],
  ['a path that climbs', { method: 'GET', url: '/v1/adapters/mine/versions/1/files/..%2F..%2Fetc%2Fpasswd' }, 404, ''],
  ['an adapter name with capitals', { method: 'GET', url: '/v1/adapters/MINE' }, 404, 'no such adapter'],
  [
    'an upload without multipart',
    { method: 'PUT', url: '/v1/adapters/new', headers: JSON_TYPE, payload: '{}' },
    415,
    'multipart/form-data',
  ],
];

function textOf(body: unknown): string {
  const { error, detail } = body as { readonly error?: string | { readonly message: string }; readonly detail?: string };
  return detail ?? (typeof error === 'object' ? error.message : (error ?? ''));
}

/** Content type and body of an error on the surface of this path. */
function errorShape(url: string, status: number): unknown {
  const json = containing('application/json');
  if (url.startsWith('/v1/')) return { contentType: json, body: { error: having({ message: aString, type: aString, code: aString }) } };
  if (!url.startsWith('/admin/')) return { contentType: json, body: { error: aString, error_type: aString } };
  return {
    contentType: containing('application/problem+json'),
    body: having({ type: containing('urn:'), title: aString, status, detail: aString }),
  };
}

describe('a request is refused by name', () => {
  it.each(CALLS)('for %s', async (_name, call, status, message) => {
    const answer = await harness.app.inject(call);
    expect(textOf(answer.json())).toContain(message);
    expect(answer.statusCode).toBe(status);
    expect({ contentType: answer.headers['content-type'], body: answer.json<unknown>() }).toEqual(errorShape(call.url, status));
  });
});

describe('an upload', () => {
  const file = (size: number): Blob => new Blob([new Uint8Array(size)]);
  const form = (parts: readonly (readonly [field: string, content: Blob | string, fileName?: string])[]): FormData => {
    const data = new FormData();
    for (const [field, content, fileName] of parts) {
      if (typeof content === 'string') data.append(field, content);
      else data.append(field, content, fileName ?? field);
    }
    return data;
  };
  const CONFIG = 'adapter_config.json';
  const WEIGHTS = 'adapter_model.safetensors';

  it.each([
    ['without weights', form([[CONFIG, file(2)]]), 400, `"${WEIGHTS}" is missing`],
    ['without parts', form([]), 400, 'is missing'],
    [
      'with a file twice',
      form([
        [CONFIG, file(2)],
        [CONFIG, file(2)],
      ]),
      400,
      `got "${CONFIG}" twice`,
    ],
    [
      'with pickled weights',
      form([
        [CONFIG, file(2)],
        ['adapter_model.bin', file(2)],
      ]),
      400,
      'got a file "adapter_model.bin"',
    ],
    ['with a path as file name', form([['file', file(2), '../../etc/cron.d/x']]), 400, 'got a file'],
    ['with a field that is no file', form([['name', 'x']]), 400, 'got the form field "name", expected only files'],
    [
      'with weights over the limit',
      form([
        [CONFIG, file(2)],
        [WEIGHTS, file(UPLOAD_MAX_BYTES + 1)],
      ]),
      413,
      'larger than',
    ],
    [
      'with broken contents',
      form([
        [CONFIG, file(2)],
        [WEIGHTS, file(20)],
      ]),
      422,
      '',
    ],
    ['with too many parts', form(Array.from({ length: 20 }, (_, index) => [`part${index}`, 'x'] as const)), 400, ''],
  ])('%s is refused and leaves no file', async (_name, data, status, message) => {
    const { payload, headers } = await multipart(data);
    const answer = await harness.app.inject({ method: 'PUT', url: '/v1/adapters/new', payload, headers });
    expect(textOf(answer.json())).toContain(message);
    expect(answer.statusCode).toBe(status);
    expect(readdirSync(harness.adapters.uploadFolder)).toEqual([]);
  });

  it.each([
    ['Upper', 'lower-case'],
    ['test-base', 'the id of the base model'],
    ['.hidden', 'lower-case'],
  ])('under the name %s is refused', async (name, message) => {
    const { payload, headers } = await uploadBody(5);
    const answer = await harness.app.inject({ method: 'PUT', url: `/v1/adapters/${name}`, payload, headers });
    expect(answer.statusCode).toBe(400);
    expect(textOf(answer.json())).toContain(message);
  });

  it('with an unknown value of activate is refused', async () => {
    const { payload, headers } = await uploadBody(5);
    const answer = await harness.app.inject({ method: 'PUT', url: '/v1/adapters/new?activate=maybe', payload, headers });
    expect(answer.statusCode).toBe(400);
    expect(textOf(answer.json())).toContain('"activate": got "maybe", expected "true" or "false"');
  });
});
