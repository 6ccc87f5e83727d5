// Hundreds of malformed uploads and requests, one after another, while streams run beside them: each is refused with its documented status and a
// message that names the problem, the streams notice nothing, and nothing is left behind.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fixtureAdapter } from '../../support/adapter-files.ts';
import { type Api, adapterForm } from '../../support/api.ts';
import { BROKEN_ADAPTER_CONFIGS } from '../../support/broken-adapter-configs.ts';
import { certainAdapters } from '../../support/certain-answers.ts';
import { Load } from '../../support/load.ts';
import { BROKEN_SAFETENSORS } from '../../support/safetensors-bytes.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { serverOfTests } from '../../support/test-server.ts';
import { importTinyModel } from '../../support/tiny-model.ts';
import { streamTokensOf, type TokenStream } from '../../support/token-stream.ts';
import { brokenForms } from './broken-forms.ts';
import { randomlyBroken } from './randomly-broken.ts';
import { MALFORMED_REQUESTS } from './requests.ts';

const STREAMS = 3;
const PATH = '/v1/adapters/broken';
const VALID = fixtureAdapter('tiny-adapters/qv-r8');
const FORMS = brokenForms(VALID);
/** What the door of uploads refuses before a parser sees it has rows of its own among the forms: too large a configuration, and zip archives. */
const CONFIGS = BROKEN_ADAPTER_CONFIGS.filter(({ text }) => text.length <= 1024 ** 2);
const WEIGHTS = BROKEN_SAFETENSORS.filter(({ bytes }) => new TextDecoder().decode(bytes.subarray(0, 2)) !== 'PK');
const RANDOMLY_BROKEN = randomlyBroken(VALID.tensors);

/** What no message may hold: paths of this machine, stack traces, values that were never set. */
const INSIDES = /\/(?:tmp|home|root|usr|work)\/|node_modules|\bat .+:\d+:\d+|undefined|\[object/;
const MESSAGE_CHARACTERS = 1000;

describe('a server that gets malformed requests', () => {
  const modelsDir = temporaryFolder();
  const dataDir = temporaryFolder();
  const running = serverOfTests(async () => {
    await importTinyModel('tiny-llama', modelsDir);
    return { modelsDir, dataDir, model: 'tiny-llama', precision: 'fp32' };
  });
  let load: Load<TokenStream>;
  let enginePid: number;

  beforeAll(async () => {
    const { api, server } = running;
    const [certain] = certainAdapters(1);
    if (certain === undefined) throw new Error('an adapter is needed');
    await api.upload('certain', certain.files);
    enginePid = server.enginePid();
    const { prompt_token_ids: prompt, greedy_token_ids: expected } = certain.answer;
    load = new Load(STREAMS, async () => await streamTokensOf(api, { model: 'certain', prompt, tokenCount: expected.length }, expected));
    await load.untilEnded(STREAMS);
  });

  afterAll(async () => await load.finish());

  it('meets at least 200 of them here', () => {
    const tables = [MALFORMED_REQUESTS, FORMS, CONFIGS, WEIGHTS, RANDOMLY_BROKEN];
    expect(tables.flat().length).toBeGreaterThanOrEqual(200);
  });

  it.each(MALFORMED_REQUESTS.map((request) => [`${request.method} ${request.path.slice(0, 80)}`, request.name, request] as const))(
    'refuses by name: %s with %s',
    async (_path, _name, { method, path, headers = {}, body, status, word }) => {
      const refusal = await refusalOf(running.api, method, path, { headers, ...(body !== undefined && { body }) });
      expect(refusal).toEqual({ status, message: expect.stringContaining(word) as string, isPresentable: true });
    },
  );

  it.each(FORMS.map((form) => [form.name, form] as const))(
    'refuses the upload of %s',
    async (_name, { path, body, headers = {}, status, word }) => {
      const refusal = await refusalOf(running.api, 'PUT', path, { body, headers });
      expect(refusal).toEqual({ status, message: expect.stringContaining(word) as string, isPresentable: true });
    },
  );

  it.each(CONFIGS.map((config) => [config.name, config] as const))('refuses a configuration with %s', async (_name, { text, message }) => {
    const body = adapterForm({ ...VALID, config: new TextEncoder().encode(text) });
    const refusal = await refusalOf(running.api, 'PUT', PATH, { body });
    expect(refusal).toEqual({ status: 422, message: expect.stringMatching(message) as string, isPresentable: true });
  });

  it.each(WEIGHTS.map((file) => [file.name, file] as const))('refuses weights: %s', async (_name, { bytes, message }) => {
    const refusal = await refusalOf(running.api, 'PUT', PATH, { body: adapterForm({ ...VALID, tensors: bytes }) });
    expect(refusal).toEqual({ status: 422, message: expect.stringMatching(message) as string, isPresentable: true });
  });

  it.each(RANDOMLY_BROKEN.map((file) => [file.name, file] as const))('refuses weights %s', async (_name, { bytes }) => {
    const refusal = await refusalOf(running.api, 'PUT', PATH, { body: adapterForm({ ...VALID, tensors: bytes }) });
    expect(refusal).toEqual({ status: 422, message: expect.stringContaining('adapter_model.safetensors') as string, isPresentable: true });
  });

  it('has disturbed no stream, kept its engine and published nothing', async () => {
    const { api, server } = running;
    await load.untilEnded(load.endedCount + STREAMS);
    expect(load.failures).toEqual([]);
    expect(server.enginePid()).toBe(enginePid);
    const { text } = await api.call('GET', '/v1/adapters');
    expect(text).toContain('certain');
    expect(text).not.toContain('broken');
  });
});

interface Refusal {
  readonly status: number;
  readonly message: string;
  /** A message that one may show to a user: not empty, not long, nothing of our insides. */
  readonly isPresentable: boolean;
}

async function refusalOf(api: Api, method: string, path: string, init: Omit<RequestInit, 'method'>): Promise<Refusal> {
  const answer = await api.call(method, path, init);
  const message = messageOf(answer.text);
  const isPresentable = message !== '' && message.length < MESSAGE_CHARACTERS && !INSIDES.test(message);
  return { status: answer.status, message, isPresentable };
}

/** OpenAI's, TGI's and the problem document's place for the message. */
function messageOf(text: string): string {
  const body = JSON.parse(text) as { error?: string | { message?: string }; detail?: string };
  if (typeof body.error === 'string') return body.error;
  return body.error?.message ?? body.detail ?? '';
}
