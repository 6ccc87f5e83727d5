// Two tenants on one real server, with keys made by the command line: the same adapter name, different adapters, nothing seen of the other.
import { beforeAll, describe, expect, it } from 'vitest';
import { Api, type AdapterSummary } from '../support/api.ts';
import { certainAdapters, certainBase } from '../support/certain-answers.ts';
import { runLorikeet } from '../support/command-line.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { serverOfTests } from '../support/test-server.ts';
import { importTinyModel } from '../support/tiny-model.ts';
import { streamTokensOf } from '../support/token-stream.ts';

const PROMPT = certainBase().prompt_token_ids;
const [ACME_ADAPTER, ZENITH_ADAPTER, ZENITH_SECRET] = certainAdapters(3);

describe('two tenants', () => {
  const modelsDir = temporaryFolder();
  const dataDir = temporaryFolder();
  const keys = new Map<string, string>();
  const running = serverOfTests(async () => {
    await importTinyModel('tiny-llama', modelsDir);
    for (const [tenant, role] of [
      ['root', 'operator'],
      ['acme', 'admin'],
      ['zenith', 'admin'],
    ] as const) {
      const printed = await runLorikeet(['keys', 'create', '--json', '--tenant', tenant, '--role', role, '--data-dir', dataDir], dataDir);
      keys.set(tenant, /lk_[A-Za-z0-9_-]+/.exec(printed)?.[0] ?? '');
    }
    return { modelsDir, dataDir, model: 'tiny-llama', precision: 'fp32' };
  });
  const apiOf = (tenant: string): Api => new Api(running.server.url, keys.get(tenant));
  let acmeVersion: AdapterSummary;
  let zenithVersion: AdapterSummary;
  let secretVersion: AdapterSummary;

  beforeAll(async () => {
    if (ACME_ADAPTER === undefined || ZENITH_ADAPTER === undefined || ZENITH_SECRET === undefined)
      throw new Error('three adapters are needed');
    acmeVersion = await apiOf('acme').upload('assistant', ACME_ADAPTER.files);
    zenithVersion = await apiOf('zenith').upload('assistant', ZENITH_ADAPTER.files);
    secretVersion = await apiOf('zenith').upload('secret', ZENITH_SECRET.files);
  });

  it('each get their own adapter under one name, also when both ask at once', async () => {
    const asked = Array.from({ length: 16 }, (_, index) => {
      const [tenant, adapter] = index % 2 === 0 ? (['acme', ACME_ADAPTER] as const) : (['zenith', ZENITH_ADAPTER] as const);
      const expected = adapter?.answer.greedy_token_ids ?? [];
      return streamTokensOf(apiOf(tenant), { model: 'assistant', prompt: PROMPT, tokenCount: expected.length }, expected);
    });
    await Promise.all(asked);
    expect(acmeVersion.digest).not.toBe(zenithVersion.digest);
  });

  it.each([
    ['GET', '/v1/adapters'],
    ['GET', '/v1/models'],
  ])('list only their own adapters: %s %s', async (method, path) => {
    const { status, text } = await apiOf('acme').call(method, path);
    expect(status).toBe(200);
    expect(text).toContain('assistant');
    for (const foreign of ['secret', 'zenith', zenithVersion.digest, secretVersion.digest]) expect(text).not.toContain(foreign);
  });

  const references: readonly (readonly [name: string, foreign: () => string, missing: string])[] = [
    ['a name', () => 'secret', 'nobody'],
    ['a version', () => 'secret@1', 'nobody@1'],
    ['a version of an own name that only the other has', () => 'assistant@2', 'assistant@3'],
    ['a tenant and a name', () => 'zenith/secret', 'zenith/nobody'],
    ['a digest', () => `assistant@sha256:${secretVersion.digest.replace('sha256:', '')}`, `assistant@sha256:${'0'.repeat(64)}`],
  ];

  it.each(references)('cannot ask through the other one by %s, and learn nothing from the answer', async (_name, foreign, missing) => {
    const ask = async (path: string, body: (reference: string) => unknown, reference: string) => {
      const response = await apiOf('acme').post(path, body(reference));
      return { status: response.status, text: withoutReference(await response.text(), reference) };
    };
    const surfaces: readonly (readonly [path: string, body: (reference: string) => unknown])[] = [
      ['/v1/completions', (model) => ({ model, prompt: 'a', max_tokens: 1 })],
      ['/v1/chat/completions', (model) => ({ model, messages: [{ role: 'user', content: 'a' }], max_tokens: 1 })],
      ['/generate', (id) => ({ inputs: 'a', parameters: { adapter_id: id, max_new_tokens: 1 } })],
    ];
    for (const [path, body] of surfaces) {
      const answer = await ask(path, body, foreign());
      expect(answer.status).toBe(404);
      expect(answer).toEqual(await ask(path, body, missing));
    }
  });

  const admin: readonly (readonly [method: string, path: (name: string) => string, body?: unknown])[] = [
    ['GET', (name) => `/v1/adapters/${name}`],
    ['GET', (name) => `/v1/adapters/${name}/versions`],
    ['GET', (name) => `/v1/adapters/${name}/versions/1/files/adapter_model.safetensors`],
    ['GET', (name) => `/v1/models/${name}`],
    ['DELETE', (name) => `/v1/adapters/${name}`],
    ['DELETE', (name) => `/v1/adapters/${name}/versions/1`],
    ['GET', (name) => `/admin/adapters/${name}`],
    ['PUT', (name) => `/admin/adapters/${name}/active`, { version: 1 }],
    ['PUT', (name) => `/admin/adapters/${name}/placement`, { pinned: true }],
  ];

  it.each(admin.map(([method, path, body]) => [method, path(':name'), path, body] as const))(
    'cannot see, change or remove the other one: %s %s',
    async (method, _shown, path, body) => {
      const ask = async (name: string) => {
        const json =
          body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json', 'if-match': '*' } };
        const { status, text } = await apiOf('acme').call(method, path(name), json);
        return { status, text: withoutReference(text, name) };
      };
      const answer = await ask('secret');
      expect(answer.status).toBe(404);
      expect(answer).toEqual(await ask('nobody'));
      const { text } = await apiOf('zenith').call('GET', '/v1/adapters/secret');
      expect(text).toContain(secretVersion.digest);
    },
  );

  it('are refused without a key and with a wrong one, in the same words', async () => {
    const answers = [undefined, 'lk_wrong', `${keys.get('acme') ?? ''}x`].map((key) =>
      new Api(running.server.url, key).call('GET', '/v1/adapters'),
    );
    for (const { status } of await Promise.all(answers)) expect(status).toBe(401);
  });
});

/** Answers may repeat what was asked for; apart from that they must be equal. */
function withoutReference(text: string, reference: string): string {
  return text.replaceAll(reference, '<asked>');
}
