// Long lists: whole by default, as one answer of many slices, and page by page when asked.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openHarness, type HttpHarness } from './harness.ts';

const COUNT = 450;
const NAMES = Array.from({ length: COUNT }, (_, index) => `adapter-${String(index).padStart(4, '0')}`);

interface List {
  readonly object: string;
  readonly data: readonly { readonly name?: string; readonly id?: string }[];
  readonly has_more: boolean;
}

let harness: HttpHarness;
beforeAll(async () => {
  harness = await openHarness();
  await harness.publish('default', NAMES[0] ?? '', 1);
  for (const name of NAMES.slice(1)) {
    const loaded = await harness.app.inject({
      method: 'POST',
      url: '/v1/load_lora_adapter',
      payload: { lora_name: name, lora_path: NAMES[0] },
    });
    expect(loaded.statusCode).toBe(200);
  }
});
afterAll(async () => {
  await harness[Symbol.asyncDispose]();
});

async function list(url: string): Promise<List> {
  const answer = await harness.app.inject({ url });
  expect([answer.statusCode, answer.headers['content-type']]).toEqual([200, 'application/json; charset=utf-8']);
  return answer.json<List>();
}

const namesOf = ({ data }: List) => data.map(({ name, id }) => name ?? id);

describe('a list', () => {
  it('is complete by default, however long', async () => {
    const [adapters, models] = [await list('/v1/adapters'), await list('/v1/models')];
    expect(adapters).toMatchObject({ object: 'list', has_more: false });
    expect(namesOf(adapters)).toEqual(NAMES);
    expect(namesOf(models)).toEqual(['test-base', ...NAMES]);
    const one = await harness.app.inject(`/v1/adapters/${NAMES[300]}`);
    expect(adapters.data[300]).toEqual(one.json());
    expect(models.data[301]).toEqual((await harness.app.inject(`/v1/models/${NAMES[300]}`)).json());
  });

  it.each(['/v1/adapters', '/v1/models'])('of %s comes in pages, each with the way to the next', async (url) => {
    const whole = namesOf(await list(url));
    for (const limit of [1000, 200, 199, 77]) {
      const seen: unknown[] = [];
      for (let after = ''; ;) {
        const page = await list(`${url}?limit=${limit}${after === '' ? '' : `&after=${after}`}`);
        expect(page.data.length).toBeLessThanOrEqual(limit);
        seen.push(...namesOf(page));
        expect(page.has_more).toBe(seen.length < whole.length);
        if (!page.has_more) break;
        after = String(namesOf(page).at(-1));
      }
      expect(seen, `pages of ${limit}`).toEqual(whole);
    }
  });

  it('goes on behind a name that is gone, and is empty behind the last', async () => {
    expect(namesOf(await list('/v1/adapters?limit=1&after=adapter-0100x'))).toEqual(['adapter-0101']);
    expect(await list('/v1/adapters?after=zz')).toEqual({ object: 'list', data: [], has_more: false });
    expect(namesOf(await list('/v1/models?limit=2&after=test-base'))).toEqual(NAMES.slice(0, 2));
  });

  it.each(['limit=0', 'limit=1001', 'limit=x', 'offset=3'])('is refused with %s', async (query) => {
    expect((await harness.app.inject(`/v1/adapters?${query}`)).statusCode).toBe(400);
  });
});
