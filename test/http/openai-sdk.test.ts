// The official OpenAI client against a real socket: what its users rely on works unchanged.
import OpenAI from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openHarness, type HttpHarness } from './harness.ts';
import { aString } from './matchers.ts';
import { ManualEngine } from './manual-engine.ts';

async function listOf<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

describe('the OpenAI client', () => {
  let harness: HttpHarness;
  let client: OpenAI;
  beforeAll(async () => {
    harness = await openHarness();
    await harness.publish('default', 'mine', 1);
    client = new OpenAI({ apiKey: 'unused', baseURL: `${await harness.app.listen({ host: '127.0.0.1', port: 0 })}/v1`, maxRetries: 0 });
  });
  afterAll(async () => {
    await harness[Symbol.asyncDispose]();
  });

  it('completes, whole and streamed', async () => {
    const wish = { model: 'test-base', prompt: 'say:hello\n', temperature: 0, max_tokens: 20 };
    const whole = await client.completions.create(wish);
    expect(whole.choices[0]).toMatchObject({ text: 'hello', finish_reason: 'stop' });
    let text = '';
    for await (const chunk of await client.completions.create({ ...wish, stream: true })) text += chunk.choices[0]?.text ?? '';
    expect(text).toBe('hello');
  });

  it('chats, with log probabilities, and reads the adapter from the headers', async () => {
    const { data, response } = await client.chat.completions
      .create({
        model: 'mine',
        messages: [{ role: 'user', content: [{ type: 'text', text: 'say:h€' }] }],
        temperature: 0,
        logprobs: true,
        top_logprobs: 2,
      })
      .withResponse();
    expect(response.headers.get('x-adapter-id')).toBe('mine@1');
    expect(data.choices[0]).toMatchObject({ message: { role: 'assistant', content: 'h€', refusal: null }, finish_reason: 'stop' });
    const content = data.choices[0]?.logprobs?.content ?? [];
    expect(content.map((entry) => entry.bytes)).toEqual([[104], [0xe2], [0x82], [0xac], [...Buffer.from('<|end|>')]]);
    expect(content[0]).toMatchObject({ token: 'h', top_logprobs: [{ token: 'h', bytes: [104] }, { token: aString }] });
  });

  it('streams a chat: role first, text, an empty last delta, usage at the end', async () => {
    const stream = await client.chat.completions.create({
      model: 'test-base',
      messages: [
        { role: 'developer', content: 'x' },
        { role: 'user', content: 'say:hé' },
      ],
      temperature: 0,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = await listOf(stream);
    expect(chunks[0]?.choices[0]?.delta).toEqual({ role: 'assistant', content: '' });
    expect(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('')).toBe('hé');
    expect(chunks.at(-2)?.choices[0]).toMatchObject({ delta: {}, finish_reason: 'stop' });
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 10, completion_tokens: 4, total_tokens: 14 } });
  });

  it('accumulates a stream with its own helper', async () => {
    const runner = client.chat.completions.stream({
      model: 'test-base',
      messages: [{ role: 'user', content: 'say:hello' }],
      temperature: 0,
    });
    expect((await runner.finalChatCompletion()).choices[0]?.message.content).toBe('hello');
  });

  it('lists and reads models', async () => {
    const models = await listOf(client.models.list());
    expect(models.map((model) => model.id)).toEqual(['test-base', 'mine']);
    expect((await client.models.retrieve('mine@1')).id).toBe('mine@1');
  });

  it('throws its own error classes with message, code and param', async () => {
    const bad = client.completions.create({ model: 'test-base', prompt: 'a', max_tokens: -1 });
    await expect(bad).rejects.toMatchObject({
      constructor: OpenAI.BadRequestError,
      status: 400,
      code: 'invalid_request',
      param: 'max_tokens',
      requestID: aString,
    });
    const missing = client.completions.create({ model: 'nobody', prompt: 'a' });
    await expect(missing).rejects.toMatchObject({ constructor: OpenAI.NotFoundError, code: 'adapter_not_found' });
  });
});

describe('the OpenAI client and a stream that does not end well', () => {
  const engine = new ManualEngine();
  let harness: HttpHarness;
  let client: OpenAI;
  beforeAll(async () => {
    harness = await openHarness({ client: engine });
    client = new OpenAI({ apiKey: 'unused', baseURL: `${await harness.app.listen({ host: '127.0.0.1', port: 0 })}/v1`, maxRetries: 0 });
  });
  beforeEach(() => {
    engine.generations.length = 0;
  });
  afterAll(async () => {
    await harness[Symbol.asyncDispose]();
  });
  const chat = () => client.chat.completions.create({ model: 'test-base', messages: [{ role: 'user', content: 'a' }], stream: true });

  it('throws when the engine dies under it', async () => {
    const pending = chat();
    (await engine.first()).emit(
      { kind: 'token', tokenId: 97 },
      { kind: 'failed', code: 'engine_unavailable', message: 'the engine is restarting' },
    );
    await expect(listOf(await pending)).rejects.toThrow('the engine is restarting');
  });

  it('frees the row when the client aborts', async () => {
    const pending = chat();
    const generation = await engine.first();
    generation.emit({ kind: 'token', tokenId: 97 });
    const stream = await pending;
    stream.controller.abort();
    await generation.ended;
    expect(generation.cancelled).toBe(true);
  });
});
