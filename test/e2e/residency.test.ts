// Adapters between disk and memory, as an operator sees them: pins outlive others' traffic and the engine, and a lost or damaged file costs
// only the requests that need it.
import { rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { randomPeftAdapter } from '../bench/load/random-peft-adapter.ts';
import type { Api } from '../support/api.ts';
import { certainAdapters, certainBase } from '../support/certain-answers.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { TINY_BASE } from '../support/tiny-base.ts';
import { serverOfTests } from '../support/test-server.ts';
import { importTinyModel } from '../support/tiny-model.ts';
import { streamTokens, streamTokensOf, type TokenStream } from '../support/token-stream.ts';

const ADAPTERS = certainAdapters(8);
const PROMPT = certainBase().prompt_token_ids;
const HOST_BYTES = 1024 ** 2;
/** Random adapters, all together several times the memory for idle ones. */
const OTHERS = 40;

interface Shown {
  readonly version: number;
  readonly digest: string;
  readonly resident: boolean;
  readonly pinned: boolean;
  readonly hits: number;
  readonly resident_bytes: number;
  readonly load_ms: number | null;
}

describe('an uploaded adapter', () => {
  const modelsDir = temporaryFolder();
  const dataDir = temporaryFolder();
  const running = serverOfTests(async () => {
    await importTinyModel('tiny-llama', modelsDir);
    return { modelsDir, dataDir, model: 'tiny-llama', precision: 'fp32' };
  });

  it('is in memory before anybody asks', async () => {
    const { api } = running;
    const [adapter] = ADAPTERS;
    if (adapter === undefined) throw new Error('no adapters');
    const { name, files } = adapter;
    await api.upload(name, files);
    const misses = async (): Promise<number> => (await api.metrics()).value('lorikeet_adapter_misses_total');
    const read = async (): Promise<string> => (await api.call('GET', `/admin/adapters/${name}`)).text;
    await vi.waitFor(async () =>
      expect(JSON.parse(await read())).toMatchObject({ versions: [{ resident: true, pinned: false, hits: 0 }] }),
    );
    await streamTokens(api, { model: name, prompt: PROMPT, tokenCount: 4 });
    expect(await misses()).toBe(0);
    expect(JSON.parse(await read())).toMatchObject({ versions: [{ hits: 1 }] });
  });
});

describe('adapters between disk and memory', () => {
  const modelsDir = temporaryFolder();
  const dataDir = temporaryFolder();
  const running = serverOfTests(async () => {
    await importTinyModel('tiny-llama', modelsDir);
    return { modelsDir, dataDir, model: 'tiny-llama', precision: 'fp32', maxBatch: '8', adapterHostBytes: '1MiB' };
  });

  beforeAll(async () => {
    for (const { name, files } of ADAPTERS) await running.api.upload(name, files);
  });

  async function shown(name: string): Promise<Shown> {
    const { text } = await running.api.call('GET', `/admin/adapters/${name}`);
    const [version] = (JSON.parse(text) as { readonly versions: readonly Shown[] }).versions;
    if (version === undefined) throw new Error(`${name} has no version`);
    return version;
  }

  function ask(index: number, model = ADAPTERS[index]?.name ?? ''): Promise<TokenStream> {
    const expected = ADAPTERS[index]?.answer.greedy_token_ids ?? [];
    return streamTokensOf(running.api, { model, prompt: PROMPT, tokenCount: expected.length }, expected);
  }

  it('stay within their memory whatever is asked for, but for pins, which also outlive the engine', async () => {
    const { api, server } = running;
    const pinned = ADAPTERS[0]?.name ?? '';
    await place(api, pinned, true);
    await vi.waitFor(async () => expect(await shown(pinned)).toMatchObject({ resident: true, pinned: true, hits: 0 }));
    await ask(0);
    expect((await shown(pinned)).hits).toBe(1);

    const others = Array.from({ length: OTHERS }, (_, index) => `other-${index}`);
    let total = 0;
    for (const [index, name] of others.entries()) {
      await api.upload(name, randomPeftAdapter(TINY_BASE, 16, index));
      await api.complete({ model: name, prompt: PROMPT, max_tokens: 2 });
      const { resident, resident_bytes: bytes } = await shown(name);
      expect(resident).toBe(true);
      total += bytes;
      expect((await api.metrics()).value('lorikeet_adapter_resident_bytes')).toBeLessThanOrEqual(HOST_BYTES);
    }
    expect(total).toBeGreaterThan(2 * HOST_BYTES);
    expect(await shown(others[0] ?? '')).toMatchObject({ resident: false, resident_bytes: 0, load_ms: null });
    expect(await shown(pinned)).toMatchObject({ resident: true, pinned: true, hits: 1 });

    process.kill(server.enginePid(), 'SIGKILL');
    await vi.waitFor(async () => expect(await shown(pinned)).toMatchObject({ resident: true, pinned: true, hits: 0 }), {
      timeout: 30_000,
      interval: 200,
    });
    await place(api, pinned, false);
    await vi.waitFor(async () => expect(await shown(pinned)).toMatchObject({ resident: true, pinned: false }));
  });

  // Nobody has asked for these two before, so that they are not in memory.
  it.each<readonly [string, number, (path: string) => void]>([
    ['missing', 6, (path) => rmSync(path)],
    ['damaged', 7, (path) => truncateSync(path, 100)],
  ])('of which one is %s: its requests fail and say so, others go on, and uploading it again helps', async (what, index, harm) => {
    const { api } = running;
    const broken = ADAPTERS[index]?.name ?? '';
    const { digest, resident } = await shown(broken);
    expect(resident).toBe(false);
    harm(join(dataDir, 'blobs', 'sha256', digest.slice(0, 2), digest));
    const body = { model: broken, prompt: PROMPT, max_tokens: 4 };
    const [refused, ...others] = await Promise.all([
      Promise.all([api.post('/v1/completions', body), api.post('/v1/completions', body)]),
      ...[1, 2, 4, 5].map((other) => ask(other)),
    ]);
    for (const response of refused) {
      expect(response.status).toBe(500);
      const { error } = (await response.json()) as { error: { code: string; message: string } };
      expect(error.code).toBe('generation_failed');
      expect(error.message).toMatch(new RegExp(`${what}; upload it again`));
    }
    expect(others).toHaveLength(4);
    await api.upload(broken, ADAPTERS[index]?.files ?? { config: new Uint8Array(), tensors: new Uint8Array() });
    expect((await ask(index)).adapterId).toBe(`${broken}@1`);
  });
});

async function place(api: Api, name: string, pinned: boolean): Promise<void> {
  const { status } = await api.call('PUT', `/admin/adapters/${name}/placement`, {
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ pinned }),
  });
  expect(status).toBe(200);
}
