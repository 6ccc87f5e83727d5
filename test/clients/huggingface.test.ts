// Hugging Face's JavaScript client against a real server process: text generation and chat, whole and streamed, with an adapter and a key.
import { InferenceClient, InferenceClientProviderApiError } from '@huggingface/inference';
import { describe, expect, it } from 'vitest';
import { ADAPTER, BASE, BASE_ANSWER, clientServer, tokenNames } from './client-server.ts';

const { answer } = ADAPTER;

interface CompletionChunk {
  readonly choices: readonly { readonly text: string; readonly logprobs: { readonly tokens: readonly string[] } }[];
}

describe("Hugging Face's client", () => {
  const server = clientServer();
  const client = (key = server.key): InferenceClient => new InferenceClient(key, { retry_on_error: false });
  const chat = (model: string) => ({
    endpointUrl: server.url,
    model,
    messages: [{ role: 'user', content: 'The answer is' }],
    temperature: 0,
    max_tokens: 8,
  });

  it.each([
    [BASE, BASE_ANSWER],
    [ADAPTER.name, answer],
  ])('streams the tokens of %s as PEFT has them, with the text of the whole answer', async (model, expected) => {
    const parameters = { max_new_tokens: expected.greedy_token_ids.length, temperature: 0 };
    const wish = { endpointUrl: server.url, model, inputs: expected.prompt, parameters };
    const exact = { ...wish, parameters: { ...parameters, logprobs: 0, return_tokens_as_token_ids: true } };
    const tokens: string[] = [];
    let text = '';
    for await (const chunk of client().textGenerationStream(exact)) {
      // The client types these events as TGI's, but asks /v1/completions and hands on what comes.
      const { choices } = chunk as unknown as CompletionChunk;
      tokens.push(...(choices[0]?.logprobs.tokens ?? []));
      text += choices[0]?.text ?? '';
    }
    expect(tokens).toEqual(tokenNames(expected.greedy_token_ids));
    expect(text).toBe((await client().textGeneration(wish)).generated_text);
  });

  it.each([BASE, ADAPTER.name])('streams the chat of %s with the text of the whole answer', async (model) => {
    const whole = await client().chatCompletion(chat(model));
    let text = '';
    for await (const chunk of client().chatCompletionStream(chat(model))) text += chunk.choices[0]?.delta.content ?? '';
    expect(text).toBe(whole.choices[0]?.message.content);
    expect(whole.usage.completion_tokens).toBe(8);
  });

  it('stops at a stop text', async () => {
    const parameters = { max_new_tokens: 24, temperature: 0, stop: ['hare'] };
    const whole = await client().textGeneration({ endpointUrl: server.url, model: BASE, inputs: BASE_ANSWER.prompt, parameters });
    expect(whole.generated_text).not.toContain('hare');
    expect(whole.generated_text.length).toBeGreaterThan(0);
  });

  it.each([
    ['a wrong key', 401, () => client('lk_wrong').textGeneration({ endpointUrl: server.url, model: BASE, inputs: 'a' })],
    ['an unknown adapter', 404, () => client().chatCompletion(chat('nobody'))],
    ['a bad field', 400, () => client().textGeneration({ endpointUrl: server.url, model: BASE, inputs: 'a', parameters: { top_p: 2 } })],
  ])('throws its own error for %s', async (_name, status, ask) => {
    const error: unknown = await ask().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(InferenceClientProviderApiError);
    expect(error).toMatchObject({ httpResponse: { status, requestId: expect.stringMatching(/./) as unknown } });
  });

  it('throws when a stream is refused', async () => {
    const stream = client().textGenerationStream({ endpointUrl: server.url, model: 'nobody', inputs: 'a' });
    await expect(stream.next()).rejects.toBeInstanceOf(InferenceClientProviderApiError);
  });
});
