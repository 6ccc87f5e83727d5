// The official OpenAI client against a real server process: what its users rely on works unchanged, down to aborts and retries.
import OpenAI from 'openai';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { ADAPTER, BASE, BASE_ANSWER, clientServer, MOST_ROWS, tokenNames } from './client-server.ts';

const { answer } = ADAPTER;
const PROMPT = [...answer.prompt_token_ids];
const MESSAGES = [{ role: 'user' as const, content: 'The answer is' }];
/** Fields of vLLM that the client's types do not know; it sends what it is given. */
const EXACT_TOKENS = { return_tokens_as_token_ids: true };

async function listOf<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

describe('the OpenAI client', () => {
  const server = clientServer();
  const clientWith = (options: Partial<ConstructorParameters<typeof OpenAI>[0]> = {}): OpenAI =>
    new OpenAI({ apiKey: server.key, baseURL: `${server.url}/v1`, maxRetries: 0, ...options });

  describe('completions', () => {
    it.each([
      ['the base', BASE, BASE_ANSWER],
      ['an adapter', ADAPTER.name, answer],
      ['an adapter behind its base', `${BASE}:${ADAPTER.name}`, answer],
    ])('answers of %s are those of PEFT', async (_name, model, expected) => {
      const greedy = { temperature: 0, max_tokens: expected.greedy_token_ids.length, logprobs: 0, ...EXACT_TOKENS };
      const completion = await clientWith().completions.create({ model, prompt: [...expected.prompt_token_ids], ...greedy });
      expect(completion.choices[0]?.logprobs?.tokens).toEqual(tokenNames(expected.greedy_token_ids));
      expect(completion.usage).toMatchObject({ prompt_tokens: PROMPT.length, completion_tokens: expected.greedy_token_ids.length });
    });

    it('are streamed with the text of the whole answer and usage at the end', async () => {
      const client = clientWith();
      const wish = { model: ADAPTER.name, prompt: PROMPT, temperature: 0, max_tokens: 12 };
      const whole = await client.completions.create(wish);
      const chunks = await listOf(await client.completions.create({ ...wish, stream: true, stream_options: { include_usage: true } }));
      expect(chunks.map((chunk) => chunk.choices[0]?.text ?? '').join('')).toBe(whole.choices[0]?.text);
      expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe('length');
      expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { total_tokens: whole.usage?.total_tokens } });
    });

    it('with a seed give n different choices, the same every time', async () => {
      const wish = { model: BASE, prompt: 'The answer is', n: 3, seed: 7, temperature: 1, max_tokens: 16, logprobs: 0, ...EXACT_TOKENS };
      const ask = async () => (await clientWith().completions.create(wish)).choices.map(({ logprobs }) => logprobs?.tokens?.join(' '));
      const choices = await ask();
      expect(new Set(choices).size).toBe(3);
      expect(await ask()).toEqual(choices);
    });

    it('stop before a stop text', async () => {
      const client = clientWith();
      const wish = { model: BASE, prompt: 'The answer is', temperature: 0, max_tokens: 16 };
      const { text } = (await client.completions.create(wish)).choices[0] ?? { text: '' };
      const stop = 'hare';
      expect(text).toContain(stop);
      const stopped = await client.completions.create({ ...wish, stop });
      expect(stopped.choices[0]).toMatchObject({ text: text.slice(0, text.indexOf(stop)), finish_reason: 'stop' });
    });

    it('echo the prompt with its log probabilities', async () => {
      const echoed = { model: BASE, prompt: 'The answer is', echo: true, logprobs: 2, max_tokens: 1, temperature: 0 };
      const { choices } = await clientWith().completions.create(echoed);
      expect(choices[0]?.text.startsWith('The answer is')).toBe(true);
      expect(choices[0]?.logprobs?.token_logprobs).toHaveLength(PROMPT.length + 1);
    });
  });

  describe('chat', () => {
    it('names the adapter in its headers and gives log probabilities', async () => {
      const wish = { model: ADAPTER.name, messages: MESSAGES, temperature: 0, max_completion_tokens: 4, logprobs: true, top_logprobs: 3 };
      const { data, response } = await clientWith().chat.completions.create(wish).withResponse();
      expect(response.headers.get('x-adapter-id')).toBe(`${ADAPTER.name}@1`);
      expect(data.choices[0]?.message.role).toBe('assistant');
      const content = data.choices[0]?.logprobs?.content ?? [];
      expect(content.map(({ top_logprobs: top }) => top.length)).toEqual([3, 3, 3, 3]);
      expect(content.every(({ logprob, top_logprobs: top }) => logprob === top[0]?.logprob)).toBe(true);
    });

    it('streams the role first, the text of the whole answer, then usage', async () => {
      const client = clientWith();
      const wish = { model: BASE, messages: MESSAGES, temperature: 0, max_tokens: 10 };
      const whole = await client.chat.completions.create(wish);
      const chunks = await listOf(await client.chat.completions.create({ ...wish, stream: true, stream_options: { include_usage: true } }));
      expect(chunks[0]?.choices[0]?.delta).toMatchObject({ role: 'assistant' });
      expect(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('')).toBe(whole.choices[0]?.message.content);
      expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { total_tokens: whole.usage?.total_tokens } });
    });

    it('keeps to a JSON schema', async () => {
      const schema = { enum: ['yes', 'no'] };
      const wish = {
        model: ADAPTER.name,
        messages: MESSAGES,
        response_format: { type: 'json_schema' as const, json_schema: { name: 'vote', schema } },
      };
      const { choices } = await clientWith().chat.completions.create({ ...wish, temperature: 0, max_completion_tokens: 24 });
      expect(schema.enum).toContain(JSON.parse(choices[0]?.message.content ?? ''));
      expect(choices[0]?.finish_reason).toBe('stop');
    });

    it('is accumulated by the helper of the client', async () => {
      const wish = { model: BASE, messages: MESSAGES, temperature: 0, max_tokens: 10 };
      const whole = await clientWith().chat.completions.create(wish);
      const runner = clientWith().chat.completions.stream(wish);
      expect(await runner.finalContent()).toBe(whole.choices[0]?.message.content);
    });
  });

  it('lists the base and the adapter, and reads one by reference', async () => {
    const models = await listOf(clientWith().models.list());
    expect(models.map(({ id }) => id)).toEqual([BASE, ADAPTER.name]);
    expect((await clientWith().models.retrieve(`${ADAPTER.name}@1`)).id).toBe(`${ADAPTER.name}@1`);
  });

  describe('errors', () => {
    const ask = (client: OpenAI, change: Readonly<Record<string, unknown>> = {}) =>
      client.completions.create({ model: BASE, prompt: 'a', max_tokens: 1, ...change });

    const refusals = [
      { what: 'a wrong key', options: { apiKey: 'lk_wrong' }, as: OpenAI.AuthenticationError, status: 401, code: 'unauthorized' },
      { what: 'an unknown adapter', change: { model: 'nobody' }, as: OpenAI.NotFoundError, status: 404, code: 'adapter_not_found' },
      {
        what: 'a bad field',
        change: { max_tokens: -1 },
        as: OpenAI.BadRequestError,
        status: 400,
        code: 'invalid_request',
        param: 'max_tokens',
      },
      {
        what: 'a prompt over the context',
        change: { prompt: 'a b '.repeat(300), max_tokens: undefined },
        as: OpenAI.BadRequestError,
        status: 400,
        code: 'context_length_exceeded',
        param: 'prompt',
      },
      { what: 'too many rows', change: { n: 16, prompt: ['a', 'b'] }, as: OpenAI.InternalServerError, status: 503, code: 'overloaded' },
    ];

    it.each(refusals)('for $what are its own class with code and param', async ({ options, change, as, status, code, param = null }) => {
      const error: unknown = await ask(clientWith(options), change).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(as);
      expect(error).toMatchObject({ status, code, param, requestID: expect.stringMatching(/./) as unknown });
    });

    it('for a file that does not exist are NotFoundError', async () => {
      await expect(clientWith().files.retrieve('file-nobody')).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    });
  });

  it('retries an overloaded server after the time that Retry-After says', async () => {
    const waits = vi.spyOn(globalThis, 'setTimeout');
    onTestFinished(() => waits.mockRestore());
    const attempts: (string | null)[] = [];
    const counting: typeof fetch = (input, init) => {
      attempts.push(new Headers(init?.headers).get('x-stainless-retry-count'));
      return fetch(input, init);
    };
    const client = clientWith({ fetch: counting, maxRetries: 1 });
    const tooMany = client.completions.create({ model: BASE, prompt: Array.from({ length: MOST_ROWS + 1 }, () => 'a'), max_tokens: 200 });
    await expect(tooMany).rejects.toMatchObject({ status: 503 });
    expect(attempts).toEqual(['0', '1']);
    expect(waits.mock.calls.map(([, delayMs]) => delayMs)).toContain(1000);
  });

  it.each([
    ['aborts its stream', (stream: { readonly controller: AbortController }) => stream.controller.abort()],
    ['leaves its loop', () => undefined],
  ])('frees its rows when it %s', async (_name, leave) => {
    const [rows, tokensPerRow] = [16, 250];
    const generated = async (): Promise<number> => (await server.api.metrics()).value('lorikeet_engine_generated_tokens_total');
    const before = await generated();
    const wish = { model: BASE, prompt: 'a', n: rows, max_tokens: tokensPerRow, ignore_eos: true };
    const stream = await clientWith().completions.create({ ...wish, stream: true });
    for await (const chunk of stream) {
      if (chunk.choices.length === 0) continue;
      leave(stream);
      break;
    }
    await vi.waitUntil(async () => {
      const metrics = await server.api.metrics();
      const open = metrics.value('lorikeet_engine_running_requests') + metrics.value('lorikeet_engine_waiting_requests');
      return open === 0 && metrics.value('lorikeet_engine_generated_tokens_total') > before;
    });
    expect((await generated()) - before).toBeLessThan((rows * tokensPerRow) / 2);
  });

  it('gives up after its own time limit, and the server goes on', async () => {
    const slow = clientWith({ timeout: 1 }).completions.create({ model: BASE, prompt: 'a', max_tokens: 250 });
    await expect(slow).rejects.toBeInstanceOf(OpenAI.APIConnectionTimeoutError);
    expect((await clientWith().completions.create({ model: BASE, prompt: 'a', max_tokens: 1 })).choices).toHaveLength(1);
  });
});
