// /v1/completions over a model that says what it is told: texts, shapes, log probabilities, echo, lists, choices and stop strings.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openHarness, type HttpHarness } from './harness.ts';
import { matching } from './matchers.ts';
import { readSse } from './sse-events.ts';

let harness: HttpHarness;
beforeAll(async () => {
  harness = await openHarness();
  await harness.publish('default', 'mine', 1);
});
afterAll(async () => {
  await harness[Symbol.asyncDispose]();
});

interface Logprobs {
  readonly tokens: string[];
  readonly token_logprobs: (number | null)[];
  readonly top_logprobs: (Record<string, number> | null)[];
  readonly text_offset: number[];
}
interface Answer {
  readonly id: string;
  readonly model: string;
  readonly choices: { readonly index: number; readonly text: string; readonly logprobs: Logprobs | null; readonly finish_reason: string }[];
  readonly usage: object;
}

async function complete(body: Readonly<Record<string, unknown>>): Promise<Answer> {
  const answer = await harness.app.inject({ method: 'POST', url: '/v1/completions', payload: { temperature: 0, ...body } });
  expect(answer.payload).toContain('"text_completion"');
  return answer.json<Answer>();
}

async function stream(body: Readonly<Record<string, unknown>>): Promise<{ readonly chunks: Answer[]; readonly isDone: boolean }> {
  const answer = await harness.app.inject({ method: 'POST', url: '/v1/completions', payload: { temperature: 0, stream: true, ...body } });
  expect(answer.headers).toMatchObject({ 'content-type': 'text/event-stream; charset=utf-8', 'x-accel-buffering': 'no' });
  const events = readSse(answer.payload);
  return {
    chunks: events.filter((data) => data !== '[DONE]').map((data) => JSON.parse(data) as Answer),
    isDone: events.at(-1) === '[DONE]',
  };
}

const textOf = (chunks: readonly Answer[], index = 0): string =>
  chunks.flatMap((chunk) => chunk.choices.filter((choice) => choice.index === index).map((choice) => choice.text)).join('');

describe('a completion', () => {
  it('counts prompt tokens that an earlier request left in the cache, and not those that its own choices share', async () => {
    const body = { prompt: 'say:a prompt of some length for the cache\n', n: 2, max_tokens: 2 };
    const usages = [await complete(body), await complete(body)].map(({ usage }) => usage);
    expect(usages[0]).toMatchObject({ prompt_tokens_details: { cached_tokens: 0 } });
    expect(usages[1]).toMatchObject({ prompt_tokens: 42, prompt_tokens_details: { cached_tokens: 32 } });
  });

  it('has the text, the finish reason and the usage, the end token counted', async () => {
    const answer = await complete({ prompt: 'say:hi\n' });
    expect(answer).toMatchObject({ object: 'text_completion', model: 'test-base', id: matching(/^cmpl-[0-9a-f]{32}$/) });
    expect(answer.choices).toEqual([{ index: 0, text: 'hi', logprobs: null, finish_reason: 'stop' }]);
    expect(answer.usage).toEqual({
      prompt_tokens: 7,
      completion_tokens: 3,
      total_tokens: 10,
      prompt_tokens_details: { cached_tokens: 0 },
    });
  });

  it('has 16 new tokens by default, and as many as asked otherwise', async () => {
    expect((await complete({ prompt: 'say:abcdefghijklmnopqrstuvwxyz\n' })).choices[0]).toMatchObject({
      text: 'abcdefghijklmnop',
      finish_reason: 'length',
    });
    expect((await complete({ prompt: 'say:abc\n', max_tokens: 2 })).choices[0]).toMatchObject({ text: 'ab', finish_reason: 'length' });
  });

  it('goes on after the end token with ignore_eos', async () => {
    const [choice] = (await complete({ prompt: 'say:hi\n', ignore_eos: true, max_tokens: 6 })).choices;
    expect(choice).toMatchObject({ text: 'hi', finish_reason: 'length' });
  });

  it('treats null as absent and accepts labels that change nothing', async () => {
    const [choice] = (
      await complete({ prompt: 'say:hi\n', stop: null, n: null, user: 'u', metadata: { a: 'b' }, store: false, best_of: 1 })
    ).choices;
    expect(choice?.text).toBe('hi');
  });

  it('ends before a stop string, also one that lies across tokens, and at a stop token', async () => {
    expect((await complete({ prompt: 'say:one. two\n', stop: '. t' })).choices[0]).toMatchObject({ text: 'one', finish_reason: 'stop' });
    expect((await complete({ prompt: 'say:one. two\n', stop: ['xx', 'o. '] })).choices[0]).toMatchObject({ text: 'one. two' });
    expect((await complete({ prompt: 'say:abc\n', stop_token_ids: [98] })).choices[0]).toMatchObject({ text: 'a', finish_reason: 'stop' });
  });

  it('answers lists of texts and of token ids in order, n choices each', async () => {
    const texts = await complete({ prompt: ['say:a\n', 'say:b\n'], n: 2, temperature: 0 });
    expect(texts.choices.map((choice) => [choice.index, choice.text])).toEqual([
      [0, 'a'],
      [1, 'a'],
      [2, 'b'],
      [3, 'b'],
    ]);
    const ids = await complete({ prompt: [[...Buffer.from('say:c\n')], [...Buffer.from('say:d\n')]] });
    expect(ids.choices.map((choice) => choice.text)).toEqual(['c', 'd']);
    expect((await complete({ prompt: [...Buffer.from('say:e\n')] })).choices[0]?.text).toBe('e');
  });

  it('gives the same sample for the same seed and n different ones', async () => {
    const wish = { prompt: 'once', temperature: 5, seed: -3, max_tokens: 8 };
    const [first, second] = [await complete(wish), await complete(wish)];
    expect(first.choices[0]?.text).toBe(second.choices[0]?.text);
    const many = await complete({ ...wish, n: 4 });
    expect(new Set(many.choices.map((choice) => choice.text)).size).toBe(4);
    expect(many.choices[0]?.text).toBe(first.choices[0]?.text);
  });

  it('keeps the likeliest of best_of and counts all of them', async () => {
    const wish = { prompt: 'once', temperature: 5, seed: 7, max_tokens: 4, logprobs: 0 };
    const all = await complete({ ...wish, n: 4 });
    const best = await complete({ ...wish, n: 1, best_of: 4 });
    const sum = (logprobs: Logprobs | null | undefined): number =>
      (logprobs?.token_logprobs ?? []).reduce<number>((total, value) => total + (value ?? 0), 0);
    const likeliest = all.choices.toSorted((left, right) => sum(right.logprobs) - sum(left.logprobs))[0];
    expect(best.choices.map((choice) => choice.text)).toEqual([likeliest?.text]);
    expect(best.usage).toMatchObject({ completion_tokens: 16 });
  });

  it('names its adapter in the headers and answers differently through it', async () => {
    const answer = await harness.app.inject({
      method: 'POST',
      url: '/v1/completions',
      payload: { model: 'test-base:mine', prompt: 'x', temperature: 0 },
    });
    const { digest } = harness.adapters.list(harness.tenants.authenticate(undefined).tenant)[0]?.active ?? { digest: '' };
    expect(answer.headers).toMatchObject({ 'x-adapter-id': 'mine@1', 'x-adapter-digest': digest });
    expect(answer.json<Answer>().choices[0]?.text).not.toBe((await complete({ prompt: 'x' })).choices[0]?.text);
    expect((await complete({ prompt: 'x', model: 'mine@1' })).choices[0]?.text).toBe(answer.json<Answer>().choices[0]?.text);
  });
});

describe('log probabilities', () => {
  it('are parallel arrays with the chosen token among the likeliest', async () => {
    const [choice] = (await complete({ prompt: 'say:é!\n', logprobs: 2 })).choices;
    const logprobs = choice?.logprobs;
    expect(choice?.text).toBe('é!');
    expect(logprobs?.tokens).toEqual(['\u{fffd}', '\u{fffd}', '!', '<|end|>']);
    expect(logprobs?.text_offset).toEqual([0, 0, 1, 2]);
    expect(logprobs?.token_logprobs).toHaveLength(4);
    expect(logprobs?.top_logprobs[2]).toMatchObject({ '!': logprobs?.token_logprobs[2] });
    expect(Object.keys(logprobs?.top_logprobs[2] ?? {})).toHaveLength(2);
  });

  it('name tokens by id when asked', async () => {
    const [choice] = (await complete({ prompt: 'say:a\n', logprobs: 1, return_tokens_as_token_ids: true })).choices;
    expect(choice?.logprobs?.tokens).toEqual(['token_id:97', 'token_id:257']);
    expect(Object.keys(choice?.logprobs?.top_logprobs[0] ?? {})).toEqual(['token_id:97']);
  });

  it('with echo begin with the prompt, whose first token has none', async () => {
    const [choice] = (await complete({ prompt: 'say:a\n', echo: true, logprobs: 1 })).choices;
    expect(choice?.text).toBe('say:a\na');
    expect(choice?.logprobs?.tokens).toEqual(['s', 'a', 'y', ':', 'a', '\n', 'a', '<|end|>']);
    expect(choice?.logprobs?.token_logprobs.map((value) => value === null)).toEqual([true, ...Array.from({ length: 7 }, () => false)]);
    expect(choice?.logprobs?.top_logprobs[0]).toBeNull();
    expect(choice?.logprobs?.text_offset).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  it('score a prompt without generating', async () => {
    const answer = await complete({ prompt: [...Buffer.from('abcd')], echo: true, max_tokens: 0, logprobs: 3 });
    expect(answer.choices[0]).toMatchObject({ text: 'abcd', finish_reason: 'length' });
    expect(answer.choices[0]?.logprobs?.token_logprobs).toHaveLength(4);
    expect(answer.usage).toMatchObject({ prompt_tokens: 4, completion_tokens: 0 });
    expect((await complete({ prompt: 'abcd', echo: true, max_tokens: 0 })).choices[0]).toMatchObject({ text: 'abcd', logprobs: null });
  });
});

describe('a stream', () => {
  it('carries the same text as the whole answer, never half a character, and ends with [DONE]', async () => {
    const prompt = 'say:héllo 🙂 wörld\n';
    const { chunks, isDone } = await stream({ prompt, max_tokens: 60 });
    expect(isDone).toBe(true);
    expect(textOf(chunks)).toBe('héllo 🙂 wörld');
    for (const chunk of chunks) expect(chunk.choices[0]?.text).not.toContain('\u{fffd}');
    expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe('stop');
    expect(chunks.slice(0, -1).every((chunk) => chunk.choices[0]?.finish_reason === null)).toBe(true);
    expect(new Set(chunks.map((chunk) => chunk.id)).size).toBe(1);
  });

  it('shows nothing of a stop string', async () => {
    const { chunks } = await stream({ prompt: 'say:one. two\n', stop: '. t' });
    expect(textOf(chunks)).toBe('one');
    expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe('stop');
  });

  it('has usage in a chunk of its own, and null before it', async () => {
    const { chunks } = await stream({ prompt: 'say:hi\n', stream_options: { include_usage: true } });
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 } });
    expect(chunks.slice(0, -1).map((chunk) => chunk.usage)).toEqual(chunks.slice(0, -1).map(() => null));
  });

  it('mixes choices by index, echoes prompts and has the same log probabilities as the whole answer', async () => {
    const wish = { prompt: ['say:ab\n', 'say:cd\n'], echo: true, logprobs: 1, n: 2 };
    const { chunks } = await stream(wish);
    const whole = await complete(wish);
    for (const choice of whole.choices) {
      const own = chunks.flatMap((chunk) => chunk.choices.filter((candidate) => candidate.index === choice.index));
      expect(own.map((part) => part.text).join('')).toBe(choice.text);
      expect(own.flatMap((part) => part.logprobs?.tokens ?? [])).toEqual(choice.logprobs?.tokens);
      expect(own.flatMap((part) => part.logprobs?.text_offset ?? [])).toEqual(choice.logprobs?.text_offset);
    }
  });

  it('can score a prompt only', async () => {
    const { chunks, isDone } = await stream({ prompt: 'abc', echo: true, max_tokens: 0, logprobs: 0 });
    expect(textOf(chunks)).toBe('abc');
    expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe('length');
    expect(isDone).toBe(true);
  });
});

describe('all requests together', () => {
  it('leave no lease behind', () => {
    expect(harness.adapters.leaseCount()).toBe(0);
  });
});
