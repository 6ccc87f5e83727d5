// Mixes of adapters through the HTTP API, against sums of PEFT's merged deltas and against LoRAX's own merge; see fixtures/tiny-mixes.
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { fixtureAdapter } from '../support/adapter-files.ts';
import { Api, type Completion } from '../support/api.ts';
import { casesOf, type ExpectedFile } from '../support/expected.ts';
import { disagreements } from '../support/parity.ts';
import { fixturePath } from '../support/repository.ts';
import { serverOfTests } from '../support/test-server.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { importTinyModel, type TinyModel } from '../support/tiny-model.ts';

interface MixesFile extends ExpectedFile {
  readonly mixes: Readonly<
    Record<string, { readonly adapters: string; readonly base: TinyModel; readonly merged_adapters?: Readonly<Record<string, unknown>> }>
  >;
}

const file = JSON.parse(readFileSync(fixturePath('tiny-mixes/expected.json'), 'utf8')) as MixesFile;

/** Sends LoRAX's field beside the base's id. */
class MergingApi extends Api {
  readonly #merged: Readonly<Record<string, unknown>>;

  constructor(url: string, merged: Readonly<Record<string, unknown>>) {
    super(url);
    this.#merged = merged;
  }

  override complete(body: Readonly<Record<string, unknown>>): Promise<Completion> {
    return super.complete({ ...body, merged_adapters: this.#merged });
  }
}

describe.each(['tiny-llama', 'tiny-llama-untied'] as const)('mixes on %s', (base) => {
  const modelsDir = temporaryFolder();
  const dataDir = temporaryFolder();
  const own = Object.entries(file.mixes).filter(([, mix]) => mix.base === base);
  const sums = own.flatMap(([name, { merged_adapters: merged }]) => (merged === undefined ? [name] : []));
  const merges = own.flatMap(([name, { merged_adapters: merged }]) => (merged === undefined ? [] : [[name, merged] as const]));
  const running = serverOfTests(async () => {
    await importTinyModel(base, modelsDir);
    return { modelsDir, dataDir, model: base, precision: 'fp32', maxBatch: '8' };
  });

  beforeAll(async () => {
    const named = own.flatMap(([name, { adapters, merged_adapters: merged }]) => {
      const ids = merged === undefined ? name.split(',').map((part) => part.split('*')[0] ?? '') : (merged['ids'] as readonly string[]);
      return ids.map((id) => `${adapters}/${id}`);
    });
    for (const folder of new Set(named)) await running.api.upload(folder.split('/')[1] ?? '', fixtureAdapter(folder));
  });

  it.each(sums)('are the exact sum of what the adapters do: %s', async (mix) => {
    expect(await disagreements(running.api, mix, casesOf(file, mix))).toEqual([]);
  });

  it.each(sums)('do not depend on the order of their parts: %s', async (mix) => {
    const digests = [mix, mix.split(',').toReversed().join(',')].map(async (model) => {
      const answer = await running.api.post('/v1/completions', { model, prompt: 'a', max_tokens: 1 });
      return [answer.headers.get('x-adapter-id'), answer.headers.get('x-adapter-digest')];
    });
    const [forwards, backwards] = await Promise.all(digests);
    expect(backwards).toEqual(forwards);
  });

  it.each(merges)("merge A and B as LoRAX's own code does: %s", async (name, merged) => {
    const api = new MergingApi(running.api.url, merged);
    expect(await disagreements(api, base, casesOf(file, name))).toEqual([]);
  });
});
