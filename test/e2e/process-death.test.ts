// kill -9 under load: of the engine (requests get 503 or an error event, and it comes back) and of the whole server (nothing acknowledged is lost).
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { Api } from '../support/api.ts';
import { certainAdapters, certainBase } from '../support/certain-answers.ts';
import { processes, startServer } from '../support/server.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { serverOfTests } from '../support/test-server.ts';
import { importTinyModel } from '../support/tiny-model.ts';
import { streamTokensOf, streamTokens } from '../support/token-stream.ts';
import { ENGINE_RECOVERY_MS } from '../support/tolerances.ts';

const ADAPTERS = certainAdapters(4);
const PROMPT = certainBase().prompt_token_ids;
/** As many as the context of the tiny model holds: the load outlives the moment of the kill. */
const LONG = 256 - PROMPT.length;
const STREAMS = 8;
const WHOLE_ANSWERS = 8;

describe('kill -9 of the engine process under load', () => {
  const modelsDir = temporaryFolder();
  const dataDir = temporaryFolder();
  const running = serverOfTests(async () => {
    await importTinyModel('tiny-llama', modelsDir);
    return { modelsDir, dataDir, model: 'tiny-llama', precision: 'fp32', maxBatch: '16' };
  });

  beforeAll(async () => {
    for (const { name, files } of ADAPTERS) await running.api.upload(name, files);
  });

  it('ends streams with an error event and others with 503 and Retry-After, and is ready again soon with every adapter', async () => {
    const { api, server } = running;
    const first = countdown(STREAMS);
    const streams = Array.from({ length: STREAMS }, (_, index) => {
      let isFirst = true;
      const onToken = (): void => {
        if (isFirst) first.count();
        isFirst = false;
      };
      return streamTokens(api, { model: nameAt(index), prompt: PROMPT, tokenCount: LONG, onToken });
    });
    const wholes = Array.from({ length: WHOLE_ANSWERS }, (_, index) =>
      api.post('/v1/completions', { model: nameAt(index), prompt: PROMPT, max_tokens: LONG, temperature: 0, ignore_eos: true }),
    );
    await first.done;
    const victim = server.enginePid();
    process.kill(victim, 'SIGKILL');
    const killedAtMs = performance.now();

    for (const stream of await Promise.all(streams)) {
      expect(stream.tokenIds.length).toBeGreaterThan(0);
      expect(stream.error?.code).toBe('engine_unavailable');
      expect(stream.isDone, 'no [DONE] after an error').toBe(false);
    }
    for (const response of await Promise.all(wholes)) {
      expect(response.status).toBe(503);
      expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
      expect(await response.json()).toMatchObject({ error: { code: 'engine_unavailable' } });
    }

    await vi.waitUntil(() => api.isReady(), { timeout: ENGINE_RECOVERY_MS, interval: 20 });
    expect(performance.now() - killedAtMs).toBeLessThan(ENGINE_RECOVERY_MS);
    expect(server.enginePid()).not.toBe(victim);
    for (const { name, answer } of ADAPTERS) await answersAsBefore(api, name, answer.greedy_token_ids);
    expect((await api.metrics()).value('lorikeet_adapter_leases'), 'leases balance').toBe(0);
  });

  it('answers 503 with Retry-After while no engine runs', async () => {
    const { api, server } = running;
    process.kill(server.enginePid(), 'SIGKILL');
    const refused = await vi.waitUntil(async () => {
      const response = await api.post('/v1/completions', { prompt: PROMPT, max_tokens: 1 });
      const text = await response.text();
      return response.status === 503 ? { retryAfter: Number(response.headers.get('retry-after')), text } : null;
    });
    expect(refused.retryAfter).toBeGreaterThan(0);
    expect(refused.text).toContain('engine_unavailable');
    await vi.waitUntil(() => api.isReady(), { timeout: ENGINE_RECOVERY_MS, interval: 20 });
  });
});

describe('kill -9 of the whole server', () => {
  const modelsDir = temporaryFolder();
  const dataDir = temporaryFolder();
  const settings = { modelsDir, dataDir, model: 'tiny-llama', precision: 'fp32' };

  it('loses no acknowledged upload or swap and leaves no engine behind', async () => {
    await importTinyModel('tiny-llama', modelsDir);
    const [older, newer] = certainAdapters(2);
    if (older === undefined || newer === undefined) throw new Error('two adapters are needed');
    await using first = await startServer(settings);
    const api = new Api(first.url);
    const { digest } = await api.upload('kept', older.files);
    await api.upload('kept', newer.files);
    await api.activate('kept', 1);
    const enginePid = first.enginePid();
    await first.kill();
    await vi.waitUntil(() => processes().every(({ pid }) => pid !== enginePid), { timeout: 5000 });

    await using second = await startServer(settings);
    const reopened = new Api(second.url);
    const { text, headers } = await reopened.call('GET', '/v1/adapters/kept');
    expect(text).toContain(digest);
    expect(headers.get('etag')).not.toBeNull();
    await answersAsBefore(reopened, 'kept', older.answer.greedy_token_ids);
    await answersAsBefore(reopened, 'kept@2', newer.answer.greedy_token_ids);
  });
});

function nameAt(index: number): string {
  return ADAPTERS[index % ADAPTERS.length]?.name ?? '';
}

async function answersAsBefore(api: Api, model: string, expected: readonly number[]): Promise<void> {
  await streamTokensOf(api, { model, prompt: PROMPT, tokenCount: expected.length }, expected);
}

/** Resolves `done` when `count` was called this many times. */
function countdown(times: number): { readonly done: Promise<void>; readonly count: () => void } {
  let left = times;
  let finish = (): void => undefined;
  const done = new Promise<void>((resolve) => (finish = resolve));
  return {
    done,
    count: () => {
      left -= 1;
      if (left === 0) finish();
    },
  };
}
