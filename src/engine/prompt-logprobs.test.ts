// Log probabilities of prompt and output through the engine, against the fake model's own distribution.
import { describe, expect, it } from 'vitest';
import { EngineHarness, GREEDY, request } from '../../test/support/engine-harness.ts';
import { fillHashLogits } from '../../test/support/fake-logits.ts';
import type { TokenLogprob } from './messages.ts';

const VOCABULARY = 64;
const prompt = Array.from({ length: 150 }, (_, index) => (index * 11 + 5) % VOCABULARY);

/** By the definition: log softmax of the model's logits after `history`. */
function expected(history: readonly number[], tokenId: number, topCount: number): TokenLogprob {
  const logits = new Float32Array(VOCABULARY);
  fillHashLogits(logits, history, 0);
  const sum = logits.reduce((total, logit) => total + Math.exp(logit), 0);
  const logprobs = Array.from(logits, (logit) => logit - Math.log(sum));
  const order = [...logprobs.keys()].sort((left, right) => (logprobs[right] ?? 0) - (logprobs[left] ?? 0));
  return { logprob: logprobs[tokenId] ?? NaN, top: order.slice(0, topCount).map((id) => [id, logprobs[id] ?? NaN] as const) };
}

function expectClose(actual: TokenLogprob | null | undefined, wanted: TokenLogprob): void {
  expect(actual?.logprob).toBeCloseTo(wanted.logprob, 7);
  expect(actual?.top.map(([id]) => id)).toEqual(wanted.top.map(([id]) => id));
  actual?.top.forEach(([, logprob], rank) => expect(logprob).toBeCloseTo(wanted.top[rank]?.[1] ?? NaN, 7));
}

function promptValues(harness: EngineHarness, id: string): readonly (TokenLogprob | null)[] {
  const found = harness.eventsOf(id).filter((event) => event.kind === 'prompt-logprobs');
  expect(found).toHaveLength(1);
  return found[0]?.values ?? [];
}

describe('log probabilities', () => {
  it('are given for every prompt token but the first, over chunks of at most 64 tokens', async () => {
    const harness = new EngineHarness({ limits: { prefillChunk: 100 } });
    harness.submit(request('a', { promptTokenIds: prompt, maxNewTokens: 0, promptLogprobs: 3 }));
    await harness.run();
    const values = promptValues(harness, 'a');
    expect(values).toHaveLength(prompt.length);
    expect(values[0]).toBeNull();
    for (let index = 1; index < prompt.length; index += 1)
      expectClose(values[index], expected(prompt.slice(0, index), prompt[index] ?? 0, 3));
    const chunks = harness.executor.calls.map((call) => (call.kind === 'prefill' ? call.tokenIds.length : 0));
    expect(chunks).toEqual([64, 64, 22]);
    expect(harness.eventsOf('a').map(({ kind }) => kind)).toEqual(['prompt-logprobs', 'finished']);
  });

  it('of the prompt come before the first token', async () => {
    const harness = new EngineHarness();
    harness.submit(request('a', { promptTokenIds: [7], maxNewTokens: 2, promptLogprobs: 0 }));
    await harness.run();
    expect(promptValues(harness, 'a')).toEqual([null]);
    expect(harness.eventsOf('a').map(({ kind }) => kind)).toEqual(['prompt-logprobs', 'token', 'token', 'finished']);
  });

  it('of output are those of the raw distribution, whatever the penalties, bias and temperature', async () => {
    const harness = new EngineHarness();
    const sampling = { ...GREEDY, temperature: 1.7, seed: 3, repetitionPenalty: 1.5, logitBias: [[4, 5]] as const, topK: 9 };
    harness.submit(request('a', { maxNewTokens: 10, logprobs: 2, sampling }));
    await harness.run();
    const history = [1, 2, 3];
    for (const event of harness.eventsOf('a')) {
      if (event.kind !== 'token') continue;
      expectClose(event.logprob, expected(history, event.tokenId, 2));
      history.push(event.tokenId);
    }
    expect(history).toHaveLength(13);
  });

  it('are complete and not repeated when the request is preempted in between', async () => {
    const limits = { smallestCapacity: 8, maxContext: 256, kvCacheBytes: 16 * 256, prefillChunk: 8 };
    const harness = new EngineHarness({ limits });
    harness.submit(request('old', { maxNewTokens: 120 }));
    for (let step = 0; step < 4; step += 1) harness.step();
    harness.submit(request('young', { promptTokenIds: prompt.slice(0, 100), maxNewTokens: 40, promptLogprobs: 1 }));
    await harness.run();
    expect(harness.engine.stats().preemptions).toBeGreaterThan(0);
    const values = promptValues(harness, 'young');
    for (let index = 1; index < 100; index += 1) expectClose(values[index], expected(prompt.slice(0, index), prompt[index] ?? 0, 1));
    expect(harness.tokensOf('young')).toHaveLength(40);
  });
});
