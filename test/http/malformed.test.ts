// Malformed and unsupported requests: each is refused with the documented status, in the shape of its surface, by a message that names the problem.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openHarness, type HttpHarness } from './harness.ts';
import { containing, matching } from './matchers.ts';

let harness: HttpHarness;
beforeAll(async () => {
  harness = await openHarness({ uploadMaxBytes: 64 * 1024 });
  await harness.publish('default', 'mine', 1);
});
afterAll(async () => {
  await harness[Symbol.asyncDispose]();
});

type Row = readonly [body: unknown, status: number, message: string];

const long = (characters: number): string => 'x'.repeat(characters);

const COMPLETIONS: readonly Row[] = [
  [{}, 400, '"prompt" is missing in the body'],
  [[], 400, 'the body: got an empty list, expected a JSON object'],
  [{ prompt: 5 }, 400, '"prompt": got 5, expected a text, a list of token ids'],
  [{ prompt: [] }, 400, '"prompt": got an empty list'],
  [{ prompt: '' }, 400, '"prompt": got an empty prompt, expected at least one token'],
  [{ prompt: [[]] }, 400, '"prompt": got a list of 1 item(s)'],
  [{ prompt: [1, 'a'] }, 400, '"prompt": got a list of 2 item(s)'],
  [{ prompt: [-1] }, 400, '"prompt"'],
  [{ prompt: [1.5] }, 400, '"prompt"'],
  [{ prompt: [258] }, 400, '"prompt": got token id 258, expected ids below 258'],
  [{ prompt: Array.from({ length: 65 }, () => 'a') }, 400, '"prompt": got a list of 65 item(s)'],
  [{ prompt: Array.from({ length: 64 }, () => 'a'), n: 16 }, 400, '1024 rows'],
  [{ prompt: long(1024) }, 400, 'the context of this model is 1024 tokens, but the request has 1024 prompt tokens'],
  [{ prompt: long(40_000) }, 400, '"prompt": got 40000 characters, expected at most 32768'],
  [{ prompt: long(1000), max_tokens: 100 }, 400, '1000 prompt tokens and 100 new tokens ("max_tokens")'],
  [{ prompt: 'a', max_tokens: -1 }, 400, '"max_tokens": got -1, expected at least 0'],
  [{ prompt: 'a', max_tokens: 1e9 }, 400, '"max_tokens": got 1000000000, expected at most 1000000'],
  [{ prompt: 'a', max_tokens: 1.5 }, 400, '"max_tokens": got 1.5, expected a whole number'],
  [{ prompt: 'a', max_tokens: '5' }, 400, '"max_tokens": got "5", expected a whole number'],
  [{ prompt: 'a', max_tokens: 0 }, 400, '"max_tokens": got 0, expected at least 1 (0 is possible with echo)'],
  [{ prompt: 'a', temperature: -0.1 }, 400, '"temperature": got -0.1, expected at least 0'],
  [{ prompt: 'a', temperature: 'hot' }, 400, '"temperature": got "hot", expected a number'],
  [{ prompt: 'a', temperature: 1e6 }, 400, '"temperature": got 1000000, expected at most 100'],
  [{ prompt: 'a', top_p: 0 }, 400, '"top_p": got 0, expected more than 0'],
  [{ prompt: 'a', top_p: 1.01 }, 400, '"top_p": got 1.01, expected at most 1'],
  [{ prompt: 'a', top_k: -2 }, 400, '"top_k": got -2, expected at least -1'],
  [{ prompt: 'a', min_p: 2 }, 400, '"min_p": got 2, expected at most 1'],
  [{ prompt: 'a', repetition_penalty: 0 }, 400, '"repetition_penalty": got 0, expected more than 0'],
  [{ prompt: 'a', frequency_penalty: 3 }, 400, '"frequency_penalty": got 3, expected at most 2'],
  [{ prompt: 'a', presence_penalty: -3 }, 400, '"presence_penalty": got -3, expected at least -2'],
  [{ prompt: 'a', n: 0 }, 400, '"n": got 0, expected at least 1'],
  [{ prompt: 'a', n: 1000 }, 400, '"n": got 1000, expected at most 16'],
  [{ prompt: 'a', best_of: 17 }, 400, '"best_of": got 17, expected at most 16'],
  [{ prompt: 'a', n: 3, best_of: 2 }, 400, '"best_of": got 2, expected at least n, which is 3'],
  [{ prompt: 'a', best_of: 2, stream: true }, 400, '"best_of": got 2 with stream'],
  [{ prompt: 'a', logprobs: 21 }, 400, '"logprobs": got 21, expected at most 20'],
  [{ prompt: 'a', logprobs: true }, 400, '"logprobs": got true, expected a whole number'],
  [{ prompt: 'a', stop: '' }, 400, '"stop": got "", expected a text or a list'],
  [{ prompt: 'a', stop: [5] }, 400, '"stop": got a list of 1 item(s), expected a text or a list'],
  [{ prompt: 'a', stop: Array.from({ length: 17 }, () => 's') }, 400, '"stop": got a list of 17 item(s)'],
  [{ prompt: 'a', stop: long(257) }, 400, '"stop": got a text of 257 characters'],
  [{ prompt: 'a', seed: 1.5 }, 400, '"seed": got 1.5, expected a whole number'],
  [{ prompt: 'a', seed: 1e30 }, 400, '"seed": got 1e+30, expected at most'],
  [{ prompt: 'a', logit_bias: { a: 1 } }, 400, '"logit_bias": got the key "a", expected token ids below 258'],
  [{ prompt: 'a', logit_bias: { 258: 1 } }, 400, '"logit_bias": got the key "258"'],
  [{ prompt: 'a', logit_bias: { 5: 101 } }, 400, '"logit_bias.5": got 101, expected at most 100'],
  [{ prompt: 'a', logit_bias: [1] }, 400, '"logit_bias": got a list of 1 item(s), expected a JSON object'],
  [{ prompt: 'a', stream: 'yes' }, 400, '"stream": got "yes", expected true or false'],
  [{ prompt: 'a', stream_options: { include_usage: true } }, 400, '"stream_options": expected only together with stream'],
  [{ prompt: 'a', stream: true, stream_options: { x: 1 } }, 400, 'unsupported parameter "stream_options.x"'],
  [{ prompt: 'a', suffix: 'b' }, 400, 'unsupported parameter "suffix" in the body'],
  [{ prompt: 'a', store: true }, 400, '"store": got true, expected false'],
  [{ prompt: 'a', guided_json: 3 }, 400, '"guided_json": got 3, expected a JSON schema'],
  [{ prompt: 'a', [long(500)]: 1 }, 400, `unsupported parameter "${long(80)}"`],
  [{ prompt: 'a', model: 5 }, 400, '"model": got 5, expected a string'],
  [{ prompt: 'a', model: long(5000) }, 400, '"model": got a text of 5000 characters, expected at most 4096 characters'],
  [{ prompt: 'a', model: 'nobody' }, 404, 'no such adapter'],
  [{ prompt: 'a', model: '../../etc/passwd' }, 404, 'no such adapter'],
  [{ prompt: 'a', model: 'mine@7' }, 404, 'no such adapter'],
  [{ prompt: 'a', model: 'mine@sha256:00' }, 404, 'no such adapter'],
  [{ prompt: 'a', model: 'other/mine' }, 404, 'no such adapter'],
  [{ prompt: 'a', model: 'test-base:nobody' }, 404, 'no such adapter'],
];

const user = (content: unknown): { messages: unknown[] } => ({ messages: [{ role: 'user', content }] });

const CHAT: readonly Row[] = [
  [{}, 400, '"messages" is missing in the body'],
  [{ messages: [] }, 400, '"messages": got an empty list, expected at least 1 item(s)'],
  [{ messages: 'hi' }, 400, '"messages": got "hi", expected a list'],
  [{ messages: [{ role: 'user' }] }, 400, '"messages.0.content" is missing'],
  [{ messages: [{ role: 'alien', content: 'a' }] }, 400, '"messages.0.role": got "alien", expected "system", "developer"'],
  [{ messages: [{ role: 'tool', content: 'a' }] }, 400, '"messages.0.role": got "tool"'],
  [user(5), 400, '"messages.0.content": got 5, expected a text, or a list'],
  [user([]), 400, '"messages.0.content": got an empty list'],
  [user([{ type: 'image_url', image_url: { url: 'http://x' } }]), 400, '"messages.0.content": got a list of 1 item(s)'],
  [user(long(40_000)), 400, '"messages": got 40000 characters of content'],
  [{ ...user('a'), max_tokens: 0 }, 400, '"max_tokens": got 0, expected at least 1'],
  [{ ...user('a'), max_tokens: 1, max_completion_tokens: 2 }, 400, 'got "max_tokens" 1 and "max_completion_tokens" 2'],
  [{ ...user('a'), max_completion_tokens: 5000 }, 400, '5000 new tokens ("max_completion_tokens")'],
  [{ ...user('a'), top_logprobs: 2 }, 400, '"top_logprobs": expected only together with "logprobs": true'],
  [{ ...user('a'), logprobs: 2 }, 400, '"logprobs": got 2, expected true or false'],
  [{ ...user('a'), tools: [] }, 400, 'unsupported parameter "tools"'],
  [{ ...user('a'), functions: [] }, 400, 'unsupported parameter "functions"'],
  [{ ...user('a'), response_format: { type: 'xml' } }, 400, '"response_format": got an object, expected {"type": "text"}'],
  [{ ...user('a'), modalities: ['audio'] }, 400, '"modalities.0": got "audio", expected "text"'],
  [{ ...user('a'), chat_template: '{{ 1 }}' }, 400, 'unsupported parameter "chat_template"'],
  [{ ...user('a'), model: 'nobody' }, 404, 'no such adapter'],
];

const GENERATE: readonly Row[] = [
  [{}, 422, '"inputs" is missing in the body'],
  [{ inputs: 5 }, 422, '"inputs": got 5, expected a string'],
  [{ inputs: '' }, 422, '"inputs": got an empty prompt'],
  [{ inputs: 'a', prompt: 'b' }, 422, 'got both "inputs" and "prompt"'],
  [{ inputs: 'a', parameters: 5 }, 422, '"parameters": got 5, expected a JSON object'],
  [{ inputs: 'a', parameters: { max_new_tokens: 0 } }, 422, '"parameters.max_new_tokens": got 0, expected at least 1'],
  [{ inputs: 'a', parameters: { max_new_tokens: 5000 } }, 422, '5000 new tokens ("max_new_tokens")'],
  [{ inputs: 'a', parameters: { temperature: -1 } }, 422, '"parameters.temperature": got -1'],
  [{ inputs: 'a', parameters: { grammar: {} } }, 422, '"parameters.grammar": got an object, expected {"type": "json"'],
  [{ inputs: 'a', parameters: { api_token: 'secret' } }, 422, 'unsupported parameter "parameters.api_token"'],
  [{ inputs: 'a', parameters: { adapter_source: 's3' } }, 422, 'unsupported parameter "parameters.adapter_source"'],
  [{ inputs: 'a', parameters: { merged_adapters: {} } }, 422, '"parameters.merged_adapters.ids" is missing'],
  [{ inputs: 'a', parameters: { watermark: true } }, 422, '"parameters.watermark": got true, expected false'],
  [{ inputs: 'a', parameters: { best_of: 2 } }, 422, '"best_of": got 2, expected 1'],
  [{ inputs: 'a', parameters: { best_of: 2, do_sample: true, seed: 1 } }, 422, '"best_of": got 2, expected 1'],
  [{ inputs: 'a', parameters: { seed: -1 } }, 422, '"parameters.seed": got -1, expected at least 0'],
  [{ inputs: 'a', parameters: { truncate: 0 } }, 422, '"parameters.truncate": got 0, expected at least 1'],
  [{ inputs: 'a', parameters: { top_n_tokens: 99 } }, 422, '"parameters.top_n_tokens": got 99, expected at most 20'],
  [{ inputs: 'a', temperature: 1, parameters: { temperature: 2 } }, 422, '"temperature": got two different values'],
  [{ inputs: 'a', parameters: { adapter_id: 'nobody' } }, 404, 'no such adapter'],
  [{ inputs: long(1024) }, 422, 'the context of this model is 1024 tokens'],
];

async function refusal(url: string, payload: unknown): Promise<{ readonly status: number; readonly body: Record<string, unknown> }> {
  const answer = await harness.app.inject({
    method: 'POST',
    url,
    headers: { 'content-type': 'application/json' },
    payload: JSON.stringify(payload),
  });
  expect(answer.headers['x-request-id']).toMatch(/^[\w.-]+$/);
  return { status: answer.statusCode, body: answer.json() };
}

function messageOf(body: Record<string, unknown>): unknown {
  const { error } = body;
  return typeof error === 'object' && error !== null && 'message' in error ? error.message : error;
}

describe.each([
  ['/v1/completions', COMPLETIONS],
  ['/v1/chat/completions', CHAT],
])('%s refuses, in the shape of OpenAI', (url, rows) => {
  it.each(rows)('%j with %i: %s', async (payload, status, message) => {
    const answer = await refusal(url, payload);
    expect(messageOf(answer.body)).toContain(message);
    expect(answer.status).toBe(status);
    expect(Object.keys(answer.body)).toEqual(['error']);
    expect(answer.body['error']).toMatchObject({ type: matching(/_error$/), code: matching(/^[a-z_]+$/) });
    expect(answer.body['error']).toHaveProperty('param');
  });
});

describe.each(['/generate', '/generate_stream', '/'])('%s refuses, in the shape of TGI', (url) => {
  it.each(GENERATE)('%j with %i: %s', async (payload, status, message) => {
    const answer = await refusal(url, payload);
    expect(answer.body).toEqual({
      error: containing(message),
      error_type: status === 404 ? 'adapter_not_found' : 'validation',
    });
    expect(answer.status).toBe(status);
  });
});

describe('all requests together', () => {
  it('leave no lease behind', () => {
    expect(harness.adapters.leaseCount()).toBe(0);
  });
});
