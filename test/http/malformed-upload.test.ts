// Uploads that are refused before their files are looked at, or by what is in them: parts, sizes, names, forms that break off.
import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { errorText } from './error-text.ts';
import { multipart, openHarness, uploadBody, type HttpHarness } from './harness.ts';

const UPLOAD_MAX_BYTES = 64 * 1024;

let harness: HttpHarness;
beforeAll(async () => {
  harness = await openHarness({ uploadMaxBytes: UPLOAD_MAX_BYTES });
});
afterAll(async () => {
  await harness[Symbol.asyncDispose]();
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
    expect(errorText(answer.json())).toContain(message);
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
    expect(errorText(answer.json())).toContain(message);
  });

  it('with an unknown value of activate is refused', async () => {
    const { payload, headers } = await uploadBody(5);
    const answer = await harness.app.inject({ method: 'PUT', url: '/v1/adapters/new?activate=maybe', payload, headers });
    expect(answer.statusCode).toBe(400);
    expect(errorText(answer.json())).toContain('"activate": got "maybe", expected "true" or "false"');
  });

  const PART = '--b\r\nContent-Disposition: form-data; name="adapter_config.json"; filename="adapter_config.json"\r\n\r\n';
  it.each([
    ['without a boundary', 'multipart/form-data', 'x', 'the form cannot be read (Multipart: Boundary not found)'],
    [
      'cut off in a header',
      'multipart/form-data; boundary=b',
      PART.slice(0, 16),
      'the form cannot be read (Unexpected end of multipart data)',
    ],
    ['cut off in a file', 'multipart/form-data; boundary=b', PART + 'x'.repeat(30_000), 'the form cannot be read ('],
  ])('%s is refused and leaves no file', async (_name, contentType, payload, message) => {
    const headers = { 'content-type': contentType };
    const answer = await harness.app.inject({ method: 'PUT', url: '/v1/adapters/new', payload, headers });
    expect(errorText(answer.json())).toContain(message);
    expect(answer.statusCode).toBe(400);
    expect(readdirSync(harness.adapters.uploadFolder)).toEqual([]);
  });
});
