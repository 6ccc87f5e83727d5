// Inspecting and comparing adapters through the routes.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openHarness, type HttpHarness } from './harness.ts';
import { aNumber, matching } from './matchers.ts';

let harness: HttpHarness;
beforeAll(async () => {
  harness = await openHarness();
  await harness.publish('default', 'first', 1);
  await harness.publish('default', 'second', 2);
});
afterAll(async () => {
  await harness[Symbol.asyncDispose]();
});

const get = (url: string) => harness.app.inject({ url });

describe('inspecting an adapter', () => {
  it('answers norms and ranks of each matrix that it changes', async () => {
    const answer = await get('/v1/adapters/first/inspect');
    expect(answer.statusCode).toBe(200);
    const body = answer.json<{ sites: readonly { singular_values: readonly number[] }[] }>();
    expect(body).toMatchObject({ object: 'adapter.insight', adapter: 'first@1', digest: matching(/^[0-9a-f]{64}$/), rank: 2 });
    expect(body.sites).toMatchObject([
      { site: 'layers.0.q', module: 'q_proj', rank: 2, delta_norm: aNumber, effective_rank: aNumber, dora_gain_shift: null },
    ]);
    expect(body.sites[0]?.singular_values).toHaveLength(2);
  });

  it('of a version takes a reference; an unknown one is a 404 that holds nothing', async () => {
    expect((await get('/v1/adapters/first@1/inspect')).json()).toMatchObject({ adapter: 'first@1' });
    expect((await get('/v1/adapters/first@7/inspect')).statusCode).toBe(404);
    expect((await get('/v1/adapters/nobody/inspect')).json()).toMatchObject({ error: { code: 'adapter_not_found' } });
    expect(harness.adapters.leaseCount()).toBe(0);
  });
});

describe('comparing two adapters', () => {
  it('answers phi, which is 1 for an adapter and itself', async () => {
    const same = (await get('/v1/adapters/first/compare/first')).json<{ sites: readonly { phi: readonly (readonly number[])[] }[] }>();
    for (const phi of same.sites.flatMap((site) => site.phi.flat())) expect(phi).toBeCloseTo(1, 6);
    const other = await get('/v1/adapters/first/compare/second?side=output');
    expect(other.json()).toMatchObject({
      object: 'adapter.comparison',
      adapters: ['first@1', 'second@1'],
      side: 'output',
      modules: [{ site: 'q' }],
      only_first: [],
      only_second: [],
    });
  });

  it('draws a heat map', async () => {
    const picture = await get('/v1/adapters/first/compare/second?format=svg');
    expect(picture.headers['content-type']).toMatch(/^image\/svg\+xml/);
    expect(picture.body).toMatch(/^<svg .*<\/svg>\n$/s);
  });

  it('refuses a side that there is not, and holds nothing when one of the two is missing', async () => {
    const wrong = await get('/v1/adapters/first/compare/second?side=left');
    expect([wrong.statusCode, wrong.json()]).toMatchObject([400, { error: { param: 'side' } }]);
    expect((await get('/v1/adapters/first/compare/nobody')).statusCode).toBe(404);
    expect(harness.adapters.leaseCount()).toBe(0);
  });
});
