// SentencePiece puts a space before every text and drops it when decoding. An answer drops it too; a continuation must not, or the prompt's
// last word and the first new one run together.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Tokenizer } from '../../src/text/index.ts';
import { byteTokenizer, openHarness, type HttpHarness } from './harness.ts';
import { readSse } from './sse-events.ts';

/** A token a byte, with SentencePiece's convention for the first space. */
const metaspaceTokenizer: Tokenizer = {
  ...byteTokenizer,
  dropsLeadingSpace: true,
  encode: (text) => byteTokenizer.encode(` ${text}`),
  decode: (tokenIds, options) => byteTokenizer.decode(tokenIds, options).replace(/^ /, ''),
};

const PROMPT = 'say: hello there\n';
const CONTINUATION = ' hello there';
const ANSWER = 'hello there';

/** A token a byte, with a BOS before every text. */
const bosTokenizer: Tokenizer = { ...byteTokenizer, bosTokenId: 256, addBos: true };

let harness: HttpHarness;
beforeAll(async () => {
  harness = await openHarness({ tokenizer: metaspaceTokenizer });
});
afterAll(async () => {
  await harness[Symbol.asyncDispose]();
});

async function post(url: string, payload: object): Promise<string> {
  const answer = await harness.app.inject({ method: 'POST', url, payload });
  expect(answer.statusCode).toBe(200);
  return answer.payload;
}

/** All texts of a stream of either surface, joined. */
function textOfStream(payload: string): string {
  const events = readSse(payload).filter((data) => data !== '[DONE]');
  return events.map((data) => shownBy(JSON.parse(data) as StreamEvent)).join('');
}

interface StreamEvent {
  readonly token?: { readonly text: string; readonly special: boolean };
  readonly choices?: readonly { readonly text?: string; readonly delta?: { readonly content?: string } }[];
}

function shownBy({ token, choices = [] }: StreamEvent): string {
  if (token !== undefined) return token.special ? '' : token.text;
  return choices.map((choice) => choice.text ?? choice.delta?.content ?? '').join('');
}

describe('over a tokenizer that drops the first space', () => {
  it('a completion goes on with the space, whole and streamed', async () => {
    const request = { prompt: PROMPT, max_tokens: 30, temperature: 0 };
    expect(JSON.parse(await post('/v1/completions', request))).toMatchObject({ choices: [{ text: CONTINUATION }] });
    expect(textOfStream(await post('/v1/completions', { ...request, stream: true }))).toBe(CONTINUATION);
  });

  it('an echoed prompt and its completion are one text', async () => {
    const answer: unknown = JSON.parse(await post('/v1/completions', { prompt: PROMPT, max_tokens: 30, temperature: 0, echo: true }));
    expect(answer).toMatchObject({ choices: [{ text: PROMPT + CONTINUATION }] });
  });

  it('a completion of special tokens alone begins a text', async () => {
    const START = 256;
    const prompt = [START, START];
    const continued = JSON.parse(
      await post('/v1/completions', { prompt, max_tokens: 1, temperature: 0, logit_bias: { 32: 100 } }),
    ) as unknown;
    expect(continued).toMatchObject({ choices: [{ text: '' }] });
    const visible = JSON.parse(
      await post('/v1/completions', { prompt: [START, 97], max_tokens: 1, temperature: 0, logit_bias: { 32: 100 } }),
    ) as unknown;
    expect(visible).toMatchObject({ choices: [{ text: ' ' }] });
  });

  it('a generation of TGI goes on with the space, whole and streamed', async () => {
    expect(JSON.parse(await post('/generate', { inputs: PROMPT }))).toEqual({ generated_text: CONTINUATION });
    expect(textOfStream(await post('/generate_stream', { inputs: PROMPT }))).toBe(CONTINUATION);
  });

  it('a chat message begins a text of its own, whole and streamed', async () => {
    const request = { messages: [{ role: 'user', content: PROMPT.trim() }], temperature: 0 };
    expect(JSON.parse(await post('/v1/chat/completions', request))).toMatchObject({ choices: [{ message: { content: ANSWER } }] });
    expect(textOfStream(await post('/v1/chat/completions', { ...request, stream: true }))).toBe(ANSWER);
  });
});

describe('a BOS that the tokenizer puts before a prompt', () => {
  it('is a token of the log probabilities, but no character of the text that offsets count', async () => {
    await using withBos = await openHarness({ tokenizer: bosTokenizer });
    const payload = { prompt: 'say:a\n', echo: true, logprobs: 0, temperature: 0 };
    const answer = await withBos.app.inject({ method: 'POST', url: '/v1/completions', payload });
    expect(answer.json()).toMatchObject({
      choices: [
        {
          text: 'say:a\na',
          logprobs: { tokens: ['<|start|>', 's', 'a', 'y', ':', 'a', '\n', 'a', '<|end|>'], text_offset: [0, 0, 1, 2, 3, 4, 5, 6, 7] },
        },
      ],
      usage: { prompt_tokens: 7 },
    });
  });
});
