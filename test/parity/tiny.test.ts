// The tiny models at fp32 against PEFT, through the HTTP API: every kind of adapter that is supported, other configurations, and refusals by name.
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { NOT_IN_GGUF } from '../support/adapter-kinds.ts';
import { Api } from '../support/api.ts';
import { fixtureAdapter } from '../support/adapter-files.ts';
import { casesOf, readExpected } from '../support/expected.ts';
import { disagreements, ggufDisagreements, greedyDisagreements, logprobDisagreements } from '../support/parity.ts';
import { fixturePath } from '../support/repository.ts';
import { startServer } from '../support/server.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { serverOfTests } from '../support/test-server.ts';
import { importTinyModel, importTinyVariant } from '../support/tiny-model.ts';

const BASES = [
  ['tiny-llama', 'tiny-adapters'],
  ['tiny-llama-untied', 'tiny-adapters-untied'],
  // Trained and published by our own trainer, with every method.
  ['tiny-llama', 'trained-adapters'],
] as const;

describe.each(BASES)('adapters on %s, of %s', (base, folder) => {
  const file = readExpected(folder);
  const names = Object.keys(file.cases);
  const modelsDir = temporaryFolder();
  const dataDir = temporaryFolder();
  const modelOf = (name: string): string => (name === 'base' ? base : name);
  const running = serverOfTests(async () => {
    await importTinyModel(base, modelsDir);
    return { modelsDir, dataDir, model: base, precision: 'fp32', maxBatch: '16' };
  });

  beforeAll(async () => {
    for (const name of names) if (name !== 'base') await running.api.upload(name, fixtureAdapter(`${folder}/${name}`));
  });

  it.each(names)('are applied as PEFT applies them: %s', async (name) => {
    const { api } = running;
    expect(await disagreements(api, modelOf(name), casesOf(file, name))).toEqual([]);
  });

  it.each(names.filter((name) => name !== 'base'))('are the same after export to GGUF and back: %s', async (name) => {
    expect(await ggufDisagreements(running.api, name, casesOf(file, name), NOT_IN_GGUF[`${folder}/${name}`])).toEqual([]);
  });

  it('are applied as PEFT applies them when all run at once', async () => {
    const { api } = running;
    const before = await api.metrics();
    for (const compare of [greedyDisagreements, logprobDisagreements]) {
      const compared = await Promise.all(names.flatMap((name) => casesOf(file, name).map((answer) => compare(api, modelOf(name), answer))));
      expect(compared.flat()).toEqual([]);
    }
    const after = await api.metrics();
    const grown = (metric: string): number => after.value(metric) - before.value(metric);
    expect(grown('lorikeet_engine_decode_rows_total') / grown('lorikeet_engine_decode_calls_total')).toBeGreaterThan(4);
  });
});

describe('other configurations over the weights of tiny-llama', () => {
  const file = readExpected('tiny-variants') as ReturnType<typeof readExpected> & { overrides: Record<string, Record<string, unknown>> };
  const modelsDir = temporaryFolder();
  const dataDir = temporaryFolder();

  it.each(Object.keys(file.overrides))('compute what transformers computes: %s', async (name) => {
    await importTinyVariant(name, file.overrides[name] ?? {}, modelsDir);
    await using server = await startServer({ modelsDir, dataDir, model: name, precision: 'fp32' });
    expect(await disagreements(new Api(server.url), name, casesOf(file, name))).toEqual([]);
  });
});

interface Refusal {
  readonly code: string;
  readonly words: readonly string[];
}

describe('adapters that cannot be applied', () => {
  const refused = JSON.parse(readFileSync(fixturePath('tiny-adapters/refused/expected.json'), 'utf8')) as Record<string, Refusal>;
  const modelsDir = temporaryFolder();
  const dataDir = temporaryFolder();
  const running = serverOfTests(async () => {
    await importTinyModel('tiny-llama', modelsDir);
    return { modelsDir, dataDir, model: 'tiny-llama', precision: 'fp32' };
  });

  it.each(Object.keys(refused))('are refused with what is wrong: %s', async (name) => {
    const response = await running.api.putAdapter('refused', fixtureAdapter(`tiny-adapters/refused/${name}`));
    const { error } = (await response.json()) as { error?: { code?: string; message?: string } };
    expect({ status: response.status, code: error?.code }).toEqual({ status: 422, code: refused[name]?.code });
    for (const word of refused[name]?.words ?? []) expect(error?.message).toContain(word);
  });

  it('leave nothing behind', async () => {
    const { status } = await running.api.call('GET', '/v1/adapters/refused');
    expect(status).toBe(404);
  });
});
