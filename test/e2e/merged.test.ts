// Merged adapters through a real server: full weights served after their merge, switches that no answer shows, and reasons when it fails.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fixtureAdapter } from '../support/adapter-files.ts';
import { casesOf, readExpected } from '../support/expected.ts';
import { disagreements, greedyDisagreements } from '../support/parity.ts';
import { startServer } from '../support/server.ts';
import { Api } from '../support/api.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { serverOfTests } from '../support/test-server.ts';
import { importTinyModel } from '../support/tiny-model.ts';

const MODEL = 'tiny-llama';
const MERGE_MS = 60_000;

interface VersionReading {
  readonly version: number;
  readonly digest: string;
  readonly residency: string;
  readonly merging: string | null;
  readonly merged_bytes: number;
}

async function reading(api: Api, name: string): Promise<VersionReading> {
  const response = await api.send('GET', `/admin/adapters/${name}`);
  const [version] = ((await response.json()) as { readonly versions: readonly VersionReading[] }).versions;
  if (version === undefined) throw new Error(`${name} has no version`);
  return version;
}

async function place(api: Api, name: string, mode: string): Promise<void> {
  const body = JSON.stringify({ mode });
  const { status } = await api.call('PUT', `/admin/adapters/${name}/placement`, { body, headers: { 'content-type': 'application/json' } });
  expect(status).toBe(200);
}

async function until(check: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + MERGE_MS;
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error('it does not happen');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe('merged adapters on a server', { timeout: 2 * MERGE_MS }, () => {
  const modelsDir = temporaryFolder();
  const dataDir = temporaryFolder();
  const full = readExpected('tiny-adapters-merged');
  const plain = readExpected('tiny-adapters');
  const running = serverOfTests(async () => {
    await importTinyModel(MODEL, modelsDir);
    return { modelsDir, dataDir, model: MODEL, precision: 'fp32', maxBatch: '8' };
  });

  it('serve adapters with full weights as PEFT computes them, in turns where there is one place, each after its merge', async () => {
    const { api } = running;
    const names = Object.keys(full.cases).filter((name) => name !== 'base');
    for (const name of names) {
      const uploaded = await api.upload(name, fixtureAdapter(`tiny-adapters-merged/${name}`));
      expect(uploaded).toMatchObject({ merged_only: true, notice: expect.stringContaining('served merged only') as unknown });
    }
    const compared = names.map((name) => disagreements(api, name, casesOf(full, name)));
    expect((await Promise.all(compared)).flat()).toEqual([]);
    expect((await api.metrics()).value('lorikeet_merge_promotions_total')).toBeGreaterThanOrEqual(names.length);
  });

  it('switch to and from the merged way without an answer that shows it, while others run', async () => {
    const { api } = running;
    const [name, other] = ['linears-r4-patterns', 'dora-qv'];
    for (const each of [name, other]) await api.upload(each, fixtureAdapter(`tiny-adapters/${each}`));
    const found: string[] = [];
    let isOver = false;
    const traffic = [name, other, MODEL].map(async (model) => {
      const answers = casesOf(plain, model === MODEL ? 'base' : model);
      for (let round = 0; !isOver; round += 1) {
        const answer = answers[round % answers.length];
        if (answer) found.push(...(await greedyDisagreements(api, model, answer)));
      }
    });
    for (const mode of ['merged', 'side', 'merged', 'auto']) {
      const residency = mode === 'merged' ? 'merged' : 'side';
      await place(api, name, mode);
      await until(async () => mode === 'auto' || (await reading(api, name)).residency === residency);
      const before = (await api.metrics()).value('lorikeet_engine_merged_calls_total');
      if (mode === 'merged') await until(async () => (await api.metrics()).value('lorikeet_engine_merged_calls_total') > before + 20);
    }
    isOver = true;
    await Promise.all(traffic);
    expect(found).toEqual([]);
    expect(await disagreements(api, name, casesOf(plain, name))).toEqual([]);
  });
});

describe('an adapter that cannot be merged', { timeout: MERGE_MS }, () => {
  const modelsDir = temporaryFolder();
  const dataDir = temporaryFolder();

  it('fails its own requests with the reason, and no others', async () => {
    await importTinyModel(MODEL, modelsDir);
    await using server = await startServer({ modelsDir, dataDir, model: MODEL, precision: 'fp32' });
    const api = new Api(server.url);
    await api.upload('broken', fixtureAdapter('tiny-adapters-merged/norms'));
    const { digest } = await reading(api, 'broken');
    const path = join(dataDir, 'blobs', 'sha256', digest.slice(0, 2), digest);
    const packed = readFileSync(path);
    // It is a packed adapter still, but one with a weight that is no number.
    rmSync(path);
    writeFileSync(path, packed.fill(0xff, packed.length - 64));
    const request = { prompt: [1, 2, 3], max_tokens: 2 };
    const [failed, base] = await Promise.all(['broken', MODEL].map((model) => api.post('/v1/completions', { ...request, model })));
    expect(base?.status).toBe(200);
    expect(failed?.status).toBe(500);
    expect(await failed?.text()).toMatch(/could not be merged: .* is NaN/);
  });
});

describe('a server that merges none', { timeout: MERGE_MS }, () => {
  const modelsDir = temporaryFolder();
  const dataDir = temporaryFolder();

  it('refuses adapters with full weights by name', async () => {
    await importTinyModel(MODEL, modelsDir);
    await using server = await startServer({ modelsDir, dataDir, model: MODEL, precision: 'fp32', mergedMax: '0' });
    const api = new Api(server.url);
    await api.upload('head', fixtureAdapter('tiny-adapters-merged/head'));
    const answer = await api.post('/v1/completions', { model: 'head', prompt: [1], max_tokens: 1 });
    expect({ status: answer.status, text: await answer.text() }).toMatchObject({
      status: 422,
      text: expect.stringContaining('merges none') as unknown,
    });
  });
});
