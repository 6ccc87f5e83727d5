// /generate, /generate_stream and / in the shapes of TGI and LoRAX, and the routes beside them.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openHarness, type HttpHarness } from './harness.ts';
import { aList, aNumber, aString, having, including } from './matchers.ts';
import { readSse } from './sse-events.ts';

let harness: HttpHarness;
beforeAll(async () => {
  harness = await openHarness();
  await harness.publish('default', 'mine', 1);
});
afterAll(async () => {
  await harness[Symbol.asyncDispose]();
});

async function post(url: string, payload: object) {
  const answer = await harness.app.inject({ method: 'POST', url, payload });
  expect(answer.statusCode).toBe(200);
  return answer;
}
const generate = async (payload: object, url = '/generate'): Promise<unknown> => (await post(url, payload)).json();

describe('/generate', () => {
  it('answers the text alone unless details are asked for', async () => {
    expect(await generate({ inputs: 'say:hi\n' })).toEqual({ generated_text: 'hi' });
  });

  it('takes prompt for inputs and parameters beside it', async () => {
    expect(await generate({ prompt: 'say:hello\n', max_new_tokens: 2 })).toEqual({ generated_text: 'he' });
    expect(await generate({ prompt: 'say:hello\n', stop: 'l', parameters: { max_new_tokens: 5 } })).toEqual({ generated_text: 'he' });
  });

  it('has details with tokens, prefill, likeliest tokens and a finish reason', async () => {
    const parameters = { details: true, decoder_input_details: true, top_n_tokens: 2 };
    expect(await generate({ inputs: 'say:h\n', parameters })).toEqual({
      generated_text: 'h',
      details: {
        finish_reason: 'eos_token',
        generated_tokens: 2,
        prompt_tokens: 6,
        seed: null,
        prefill: Array.from('say:h\n', (text, index) => ({ id: text.charCodeAt(0), text, logprob: index === 0 ? null : aNumber })),
        tokens: [
          { id: 104, text: 'h', logprob: aNumber, special: false },
          { id: 257, text: '<|end|>', logprob: aNumber, special: true },
        ],
        top_tokens: [including([having({ id: 104 })]), including([having({ id: 257, special: true })])],
      },
    });
  });

  it.each([
    [{ max_new_tokens: 1 }, 'length'],
    [{ stop: ['l'] }, 'stop_sequence'],
    [{}, 'eos_token'],
  ])('with %j ends by %s', async (parameters, reason) => {
    expect(await generate({ inputs: 'say:hello\n', parameters: { details: true, ...parameters } })).toMatchObject({
      details: { finish_reason: reason },
    });
  });

  it('samples when a sampling field is set and reports the seed that repeats it', async () => {
    const first = (await generate({ inputs: 'x', temperature: 5, max_new_tokens: 8, details: true })) as {
      generated_text: string;
      details: { seed: number };
    };
    expect(first.details.seed).toBeTypeOf('number');
    const again = await generate({ inputs: 'x', temperature: 5, max_new_tokens: 8, seed: first.details.seed });
    expect(again).toEqual({ generated_text: first.generated_text });
    expect(await generate({ inputs: 'x', temperature: 0, max_new_tokens: 8 })).toEqual(await generate({ inputs: 'x', max_new_tokens: 8 }));
  });

  it('puts the prompt first with return_full_text and keeps its end with truncate', async () => {
    expect(await generate({ inputs: 'say:hi\n', return_full_text: true })).toEqual({ generated_text: 'say:hi\nhi' });
    expect(await generate({ inputs: 'lost say:hi\n', truncate: 7, return_full_text: true })).toEqual({ generated_text: 'say:hi\nhi' });
  });

  it('answers the best of several and shows the others in the details', async () => {
    const answer = (await generate({ inputs: 'x', best_of: 3, temperature: 5, max_new_tokens: 4, details: true })) as {
      details: { best_of_sequences: object[] };
    };
    expect(answer.details.best_of_sequences).toHaveLength(2);
    expect(answer.details.best_of_sequences[0]).toMatchObject({
      generated_text: aString,
      generated_tokens: 4,
      tokens: aList,
    });
  });

  it('names for each of several sequences the seed that repeats it alone', async () => {
    interface Sequence {
      readonly generated_text: string;
      readonly seed: number;
    }
    const wish = { inputs: 'x', temperature: 5, max_new_tokens: 4, details: true };
    const answer = (await generate({ ...wish, best_of: 3 })) as {
      readonly generated_text: string;
      readonly details: { readonly seed: number; readonly best_of_sequences: readonly Sequence[] };
    };
    const best = { generated_text: answer.generated_text, seed: answer.details.seed };
    for (const { generated_text, seed } of [best, ...answer.details.best_of_sequences])
      expect(await generate({ ...wish, seed })).toMatchObject({ generated_text });
  });

  it('uses the adapter of the query, of the parameters, or of both when they agree', async () => {
    const inputs = { inputs: 'x', max_new_tokens: 8 };
    const base = await generate(inputs);
    const tuned = await generate(inputs, '/generate?adapter=mine');
    expect(tuned).not.toEqual(base);
    expect(await generate({ ...inputs, parameters: { adapter_id: 'mine' } })).toEqual(tuned);
    expect(await generate({ ...inputs, adapter_id: 'test-base:mine' }, '/generate?adapter=mine')).toEqual(tuned);
    expect(await generate({ ...inputs, adapter_id: '' }, '/generate?adapter=test-base')).toEqual(base);
    expect((await post('/generate?adapter=mine', inputs)).headers['x-adapter-id']).toBe('mine@1');
  });
});

describe('/generate_stream', () => {
  it('has an event for each token and the text and details in the last one', async () => {
    const events = readSse((await post('/generate_stream', { inputs: 'say:hé\n' })).payload).map(
      (data) => JSON.parse(data) as { index: number },
    );
    expect(events).toEqual([
      { index: 1, token: { id: 104, text: 'h', logprob: aNumber, special: false }, generated_text: null, details: null },
      { index: 2, token: having({ id: 0xc3, text: '' }), generated_text: null, details: null },
      { index: 3, token: having({ id: 0xa9, text: 'é' }), generated_text: null, details: null },
      {
        index: 4,
        token: having({ id: 257, text: '<|end|>', special: true }),
        generated_text: 'hé',
        details: { finish_reason: 'eos_token', generated_tokens: 4, seed: null, input_length: 8, prompt_tokens: 8 },
      },
    ]);
  });
});

describe('POST /', () => {
  it('answers a list, or a stream when asked for', async () => {
    expect(await generate({ inputs: 'say:hi\n' }, '/')).toEqual([{ generated_text: 'hi' }]);
    const events = readSse((await post('/', { inputs: 'say:hi\n', stream: true })).payload);
    expect(JSON.parse(events.at(-1) ?? '')).toMatchObject({ generated_text: 'hi' });
  });
});

describe('the routes beside', () => {
  it('tokenize for TGI with offsets, for vLLM with ids, and back', async () => {
    expect(await generate({ inputs: 'aé' }, '/tokenize')).toEqual([
      { id: 97, text: 'a', start: 0, stop: 1 },
      { id: 0xc3, text: '', start: 1, stop: 1 },
      { id: 0xa9, text: 'é', start: 1, stop: 2 },
    ]);
    expect(await generate({ prompt: 'aé' }, '/tokenize')).toEqual({ tokens: [97, 0xc3, 0xa9], count: 3, max_model_len: 1024 });
    expect(await generate({ tokens: [97, 0xc3, 0xa9] }, '/detokenize')).toEqual({ prompt: 'aé' });
  });

  it('describe the server and its readiness', async () => {
    expect((await harness.app.inject('/info')).json()).toMatchObject({
      model_id: 'test-base',
      max_total_tokens: 1024,
      max_input_tokens: 1023,
    });
    for (const url of ['/healthz', '/readyz', '/health', '/ping', '/v2/health/live', '/v2/health/ready']) {
      expect((await harness.app.inject(url)).statusCode).toBe(200);
    }
  });

  it('list models and single ones by any reference', async () => {
    const { data } = (await harness.app.inject('/v1/models')).json<{ data: { id: string; parent: string | null }[] }>();
    expect(data.map((model) => [model.id, model.parent])).toEqual([
      ['test-base', null],
      ['mine', 'test-base'],
    ]);
    expect((await harness.app.inject('/v1/models/test-base')).json()).toMatchObject({ id: 'test-base', max_model_len: 1024 });
    expect((await harness.app.inject('/v1/models/mine@1')).json()).toMatchObject({ id: 'mine@1', parent: 'test-base' });
    expect((await harness.app.inject('/v1/models/nobody')).statusCode).toBe(404);
  });

  it('count calls of the model, requests and adapters in /metrics', async () => {
    await generate({ inputs: 'say:hi\n' }, '/generate?adapter=mine');
    const { payload } = await harness.app.inject('/metrics');
    for (const name of [
      'lorikeet_engine_decode_calls_total',
      'lorikeet_engine_decode_rows_total',
      'lorikeet_time_to_first_token_seconds_count',
      'lorikeet_inter_token_seconds_count',
    ]) {
      expect(Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(payload)?.[1])).toBeGreaterThan(0);
    }
    expect(payload).toMatch(/^lorikeet_engine_preemptions_total 0$/m);
    expect(payload).toMatch(/^vllm:num_requests_running 0$/m);
    expect(payload).toMatch(/^vllm:lora_requests_info\{max_lora="4",running_lora_adapters="",waiting_lora_adapters=""\} \d/m);
    expect(payload).toMatch(/^lorikeet_adapter_leases 0$/m);
  });
});

describe('all requests together', () => {
  it('leave no lease behind', () => {
    expect(harness.adapters.leaseCount()).toBe(0);
  });
});
