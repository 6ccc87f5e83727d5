// What is wrong before or beside a JSON body: content types, encodings, sizes, paths, methods, preconditions.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { errorText } from './error-text.ts';
import { openHarness, type HttpHarness } from './harness.ts';
import { aString, containing, having } from './matchers.ts';

const JSON_TYPE = { 'content-type': 'application/json' };

let harness: HttpHarness;
beforeAll(async () => {
  harness = await openHarness();
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
    'a key "__proto__"',
  ],
  [
    'a body with a prototype in a list',
    { method: 'POST', url: '/v1/completions', headers: JSON_TYPE, payload: '{"prompt":[{"constructor":{"prototype":{}}}]}' },
    400,
    'a key "constructor.prototype"',
  ],
  [
    'a body with __proto__ that is not JSON',
    { method: 'POST', url: '/v1/completions', headers: JSON_TYPE, payload: '{"__proto__":{}' },
    400,
    'not valid JSON',
  ],
  [
    'text/plain',
    { method: 'POST', url: '/generate', headers: { 'content-type': 'text/plain' }, payload: '{"inputs":"a"}' },
    415,
    'got content type text/plain, expected application/json',
  ],
  [
    'a form',
    { method: 'POST', url: '/v1/completions', headers: { 'content-type': 'application/x-www-form-urlencoded' }, payload: 'prompt=a' },
    415,
    'got content type application/x-www-form-urlencoded, expected application/json',
  ],
  [
    'a body over the limit',
    { method: 'POST', url: '/v1/completions', headers: JSON_TYPE, payload: `{"prompt":"${'x'.repeat(9e6)}"}` },
    413,
    'larger than 8MiB',
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
    expect(errorText(answer.json())).toContain(message);
    expect(answer.statusCode).toBe(status);
    expect({ contentType: answer.headers['content-type'], body: answer.json<unknown>() }).toEqual(errorShape(call.url, status));
  });
});
