// Mixes of adapters over HTTP: how they are named, what the answer says of them, what is refused and in which words, and what they hold.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { keyHeader, openHarness, type HttpHarness } from './harness.ts';
import { containing } from './matchers.ts';
import { ManualEngine } from './manual-engine.ts';

let harness: HttpHarness;
beforeAll(async () => {
  harness = await openHarness();
  await harness.publish('default', 'poet', 1);
  await harness.publish('default', 'sql', 2);
});
afterAll(async () => {
  await harness[Symbol.asyncDispose]();
});

interface Answer {
  readonly status: number;
  readonly label: unknown;
  readonly digest: unknown;
  readonly text: string;
}

async function post(url: string, payload: object, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
  const answer = await harness.app.inject({ method: 'POST', url, headers, payload: { ...payload } });
  return {
    status: answer.statusCode,
    label: answer.headers['x-adapter-id'],
    digest: answer.headers['x-adapter-digest'],
    text: answer.body,
  };
}

const generate = (adapter: string): Promise<Answer> =>
  post(`/generate?adapter=${encodeURIComponent(adapter)}`, { inputs: 'hello', max_new_tokens: 4 });
const complete = (model: string): Promise<Answer> => post('/v1/completions', { model, prompt: 'hello', max_tokens: 4, temperature: 0 });
const merge = (merged: object, rest: object = {}): Promise<Answer> =>
  post('/generate', { inputs: 'hello', parameters: { max_new_tokens: 4, merged_adapters: merged, ...rest } });

function messageOf({ text }: Answer): string {
  const { error } = JSON.parse(text) as { error: string | { message: string } };
  return typeof error === 'string' ? error : error.message;
}

describe('a mix', () => {
  it('is named alike in query, body and model, and answered with its canonical form and digest', async () => {
    const expected = { status: 200, label: 'poet@1*0.7,sql@1*0.3' };
    const first = await generate('sql*0.3,poet*0.7');
    expect(first).toMatchObject(expected);
    expect(first.digest).toMatch(/^[0-9a-f]{64}$/);
    const others = [
      await generate('poet*0.7,sql@1*0.3'),
      await generate('test-base:poet*.7,default/sql*3e-1'),
      await generate('poet*0.2,sql*0.3,poet*0.5'),
      await post('/generate', { inputs: 'hello', parameters: { max_new_tokens: 4, adapter_id: 'poet*0.7,sql*0.3' } }),
      await complete('poet*0.7,sql*0.3'),
      await complete('test-base:poet*0.70,sql*0.3'),
      await post('/v1/chat/completions', { model: 'poet*0.7,sql*0.3', messages: [{ role: 'user', content: 'hi' }], max_tokens: 2 }),
    ];
    for (const other of others) expect(other).toMatchObject({ ...expected, digest: first.digest });
  });

  it('of one adapter with the weight 1 is that adapter, and with 0 the base', async () => {
    const [poet, one, half, none, base] = [
      await generate('poet'),
      await generate('poet*1'),
      await generate('poet*0.5'),
      await generate('poet*0,sql*0'),
      await generate(''),
    ];
    expect(one).toEqual(poet);
    expect(half).toMatchObject({ status: 200, label: 'poet@1*0.5' });
    expect(half.digest).not.toBe(poet.digest);
    expect(none).toEqual({ ...base, label: 'poet@1*0,sql@1*0' });
    expect((await generate('poet*0.4,sql*0,poet*0.6')).digest).toBe(poet.digest);
  });

  it('merges factors as LoRAX does, each strategy to a result of its own that is the same again', async () => {
    const ids = ['poet', 'sql'];
    const digests = new Map<unknown, unknown>();
    for (const merged of [
      { ids, weights: [0.7, 0.3] },
      { ids, weights: [0.7, 0.3], merge_strategy: 'ties', density: 0.5 },
      { ids, weights: [0.7, 0.3], merge_strategy: 'ties', density: 0.5, majority_sign_method: 'frequency' },
      { ids, weights: [0.7, 0.3], merge_strategy: 'dare_linear', density: 0.5 },
      { ids, weights: [0.7, 0.3], merge_strategy: 'dare_ties', density: 0.5 },
    ]) {
      const answer = await merge(merged);
      expect(answer.status).toBe(200);
      expect(await merge(merged)).toEqual(answer);
      digests.set(answer.label, answer.digest);
    }
    expect([...digests.keys()]).toEqual([
      'poet@1*0.7,sql@1*0.3;linear',
      'poet@1*0.7,sql@1*0.3;ties;density=0.5;majority_sign_method=total',
      'poet@1*0.7,sql@1*0.3;ties;density=0.5;majority_sign_method=frequency',
      'poet@1*0.7,sql@1*0.3;dare_linear;density=0.5',
      'poet@1*0.7,sql@1*0.3;dare_ties;density=0.5;majority_sign_method=total',
    ]);
    expect(digests.size).toBe(5);
  });

  it("takes what lorax-client sends: nulls, a density of 0 for linear, one id alone; and OpenAI's routes take the field too", async () => {
    const nulls = { merge_strategy: null, majority_sign_method: null };
    expect(await merge({ ids: ['poet', 'sql'], weights: [1, 1], density: 0, ...nulls })).toMatchObject({
      label: 'poet@1*1,sql@1*1;linear',
    });
    expect(await merge({ ids: ['poet', 'sql'] })).toMatchObject({ label: 'poet@1*1,sql@1*1;linear' });
    expect(await merge({ ids: ['poet'], weights: [1], density: 0.5, merge_strategy: 'ties' })).toEqual(await generate('poet'));
    const merged = { model: 'test-base', merged_adapters: { ids: ['poet', 'sql'] }, max_tokens: 2 };
    expect(await post('/v1/completions', { ...merged, prompt: 'a' })).toMatchObject({ status: 200, label: 'poet@1*1,sql@1*1;linear' });
  });

  it('counts for each of its parts in vllm:lora_requests_info, and holds them until its end', async () => {
    await using manual = await openHarness({ client: new ManualEngine() });
    const engine = manual.services.engine as ManualEngine;
    await manual.publish('default', 'poet', 1);
    await manual.publish('default', 'sql', 2);
    const answer = manual.app.inject({ method: 'POST', url: '/generate?adapter=poet*0.5,sql*0.5', payload: { inputs: 'a' } });
    const generation = await engine.first();
    expect(manual.adapters.leaseCount()).toBe(2);
    const { body } = await manual.app.inject('/metrics');
    expect(body).toMatch(/lora_requests_info\{.*waiting_lora_adapters="poet,sql"/);
    generation.emit({ kind: 'failed', code: 'generation_failed', message: 'enough' });
    await answer;
    expect(manual.adapters.leaseCount()).toBe(0);
  });
});

const many = (count: number): string => Array.from({ length: count }, () => 'poet*1').join(',');

describe('a mix that is none', () => {
  it.each([
    ['poet,sql', 'a part "poet" has no weight, expected a mix like a*0.7,b*0.3'],
    ['poet*0.5,', 'a part "" has no weight'],
    [',', 'a part "" has no weight'],
    ['poet*', 'the part "poet*" has the weight "", which is no decimal number'],
    ['*0.5', 'the part "*0.5" names no adapter'],
    ['poet*0.5*2', 'the part "poet*0.5*2" has more than one "*"'],
    ['poet**2', 'has more than one "*"'],
    ['(poet*0.5)*2', 'has more than one "*"'],
    ['poet*NaN', 'has the weight "NaN", which is no decimal number'],
    ['poet*Infinity', 'has the weight "Infinity", which is no decimal number'],
    ['poet*1e999', 'got the weight "1e999", expected a number from -100 to 100'],
    ['poet*-101', 'got the weight "-101", expected a number from -100 to 100'],
    ['poet*0x10', 'has the weight "0x10", which is no decimal number'],
    ['poet*1_000', 'no decimal number'],
    ['poet*½', 'has the weight "½", which is no decimal number'],
    ['poet*٣', 'no decimal number'],
    ['poet*1,5', 'a part "5" has no weight'],
    [many(500), 'got 500 adapters, expected 1 to 16'],
    [`${'x'.repeat(5000)}*1`, 'got a text of 5002 characters, expected at most 4096'],
  ])('is refused with what is wrong: %s', async (adapter, words) => {
    const [tgi, openai] = [await generate(adapter), await complete(adapter)];
    expect([tgi.status, openai.status]).toEqual([422, 400]);
    for (const answer of [tgi, openai]) expect(messageOf(answer)).toContain(words);
    expect(harness.adapters.leaseCount()).toBe(0);
  });

  it.each([
    'nobody*0.5',
    'poet*0.5,nobody*0.5',
    'poet@9*0.5',
    'POET*0.5',
    'pöet*0.5',
    '../poet*0.5',
    'a/b/poet*1',
    'other/poet*0.5,sql*0.5',
    '\u0000*0.5',
    'test-base*0.5',
    `poet@sha256:${'0'.repeat(64)}*1`,
    `${'x'.repeat(400)}*1`,
  ])('names an adapter that is not there, with the same answer as ever: %s', async (adapter) => {
    const unknown = await generate('nobody');
    expect(unknown.status).toBe(404);
    expect(await generate(adapter)).toEqual(unknown);
    expect(harness.adapters.leaseCount()).toBe(0);
  });

  it.each([
    [{ ids: [] }, 422, 'got 0 adapters, expected 1 to 16'],
    [{ ids: Array.from({ length: 500 }, () => 'poet') }, 422, 'got 500 adapters, expected 1 to 16'],
    [{ ids: ['poet', 'sql'], weights: [1] }, 422, 'got 2 ids and 1 weights, expected a weight for each id'],
    [{ ids: ['poet'], weights: [0.5] }, 422, 'got one id with the weight 0.5'],
    [{ ids: ['poet', 'sql'], weights: [1, 1e30] }, 422, 'expected a number from -100 to 100'],
    [{ ids: ['poet', 'sql'], merge_strategy: 'ties' }, 422, 'got no density, expected one above 0 and at most 1 for ties'],
    [{ ids: ['poet', 'sql'], merge_strategy: 'dare_linear', density: 0 }, 422, 'got the density 0, which keeps nothing'],
    [{ ids: ['poet', 'sql'], merge_strategy: 'ties', density: 1.5 }, 422, '"parameters.merged_adapters.density": got 1.5'],
    [{ ids: ['poet', 'sql'], merge_strategy: 'svd' }, 422, '"parameters.merged_adapters.merge_strategy": got "svd"'],
    [{ ids: ['poet', 'sql'], merge_strategy: 'ties', density: 0.5, majority_sign_method: 'most' }, 422, 'majority_sign_method'],
    [{ ids: ['poet', 'sql'], seed: 1 }, 422, 'unsupported parameter "parameters.merged_adapters.seed"'],
    [{ ids: ['poet', 5] }, 422, '"parameters.merged_adapters.ids.1": got 5'],
    [{ ids: ['poet', 'sql*0.5'] }, 404, 'no such adapter'],
    [{ ids: ['poet', ''] }, 404, 'no such adapter'],
  ])('of LoRAX is refused with the field: %j', async (merged, status, words) => {
    const answer = await merge(merged);
    expect({ status: answer.status, message: messageOf(answer) }).toEqual({ status, message: containing(words) });
    expect(harness.adapters.leaseCount()).toBe(0);
  });

  it('is refused where two places name different adapters', async () => {
    const conflict = { status: 422 };
    expect(await post('/generate?adapter=poet*0.5', { inputs: 'a', parameters: { adapter_id: 'poet' } })).toMatchObject(conflict);
    expect(await merge({ ids: ['poet', 'sql'] }, { adapter_id: 'poet' })).toMatchObject(conflict);
    const merged = { merged_adapters: { ids: ['poet', 'sql'] }, prompt: 'a' };
    expect(await post('/v1/completions', { ...merged, model: 'poet' })).toMatchObject(conflict);
  });
});

describe('mixes of tenants', () => {
  it('take only what the caller may use, and say nothing of the rest', async () => {
    await harness.publish('other', 'secret', 3);
    await harness.publish('samples', 'shared', 4);
    keyHeader(harness, 'default', 'operator');
    const headers = keyHeader(harness, 'default', 'inference');
    const body = { inputs: 'a', max_new_tokens: 1 };
    const unknown = await post('/generate?adapter=nobody', body, headers);
    for (const part of ['secret', 'other/secret']) {
      expect(await post(`/generate?adapter=poet*0.5,${part}*0.5`, body, headers)).toEqual(unknown);
      const merged = { inputs: 'a', parameters: { merged_adapters: { ids: ['poet', part] } } };
      expect(await post('/generate', merged, headers)).toEqual(unknown);
    }
    expect(await post('/generate?adapter=poet*0.5,shared*0.5', body, headers)).toMatchObject({
      status: 200,
      label: 'poet@1*0.5,shared@1*0.5',
    });
  });
});
