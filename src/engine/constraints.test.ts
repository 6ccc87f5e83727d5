// Constrained requests over the fake model: only the tokens of their masks come, and waiting for a mask holds up nobody else.
import { describe, expect, it } from 'vitest';
import { EngineHarness, request } from '../../test/support/engine-harness.ts';
import { FakeExecutor } from '../../test/support/fake-executor.ts';
import { fakeGreedyTokens } from '../../test/support/fake-logits.ts';
import { ManualConstraints } from '../../test/support/manual-constraints.ts';

const SCRIPT = [9, 33, 2, 60, 60, 5];
const scripted = (id: string, changes: Parameters<typeof request>[1] = {}) =>
  request(id, { grammar: { kind: 'regex', text: SCRIPT.join(' ') }, maxNewTokens: SCRIPT.length, ...changes });

function open(isPrompt: boolean, limits: ConstructorParameters<typeof EngineHarness>[0] = {}) {
  const executor = new FakeExecutor();
  const constraints = new ManualConstraints(executor.shape.vocabularySize, isPrompt);
  return { constraints, harness: new EngineHarness({ executor, constraints, ...limits }) };
}

describe('a request with a grammar', () => {
  it('produces only what its masks let come, and its neighbour what it would alone', async () => {
    const { constraints, harness } = open(true);
    constraints.finish('ready');
    harness.submit(scripted('bounded', { logprobs: 0 }));
    harness.submit(request('free', { maxNewTokens: 9 }));
    constraints.finish('ready');
    await harness.run();
    expect(harness.tokensOf('bounded')).toEqual(SCRIPT);
    expect(harness.tokensOf('free')).toEqual(fakeGreedyTokens([1, 2, 3], null, 9));
    expect(constraints.opened.map(({ isOpen }) => isOpen)).toEqual([false]);
  });

  it('takes no row and no part in a call before its mask is there, while others go on', () => {
    const { constraints, harness } = open(false);
    harness.submit(scripted('bounded'));
    harness.submit(request('free', { maxNewTokens: 3 }));
    for (let step = 0; step < 10; step += 1) harness.step();
    expect(harness.endOf('free')).toBe('finished length');
    expect(harness.engine.snapshot().running).toEqual([]);
    for (let produced = 1; produced <= SCRIPT.length; produced += 1) {
      constraints.finish('ready');
      for (let step = 0; step < 5; step += 1) harness.step();
      expect(harness.tokensOf('bounded')).toEqual(SCRIPT.slice(0, produced));
    }
    expect(harness.endOf('bounded')).toBe('finished length');
  });

  it('goes on with its constraint after it was preempted', async () => {
    const limits = { smallestCapacity: 8, maxContext: 48, kvCacheBytes: 16 * 64, maxBatch: 3, prefixCacheBytes: 0 };
    const script = Array.from({ length: 30 }, (_, index) => (index * 7) % 60);
    const { constraints, harness } = open(true, { limits });
    for (const id of ['a', 'b', 'c']) harness.submit(scripted(id, { grammar: { kind: 'ebnf', text: script.join(' ') }, maxNewTokens: 30 }));
    constraints.finish('ready');
    await harness.run();
    expect(harness.engine.stats().preemptions).toBeGreaterThan(0);
    for (const id of ['a', 'b', 'c']) expect(harness.tokensOf(id)).toEqual(script);
  });

  it('never speculates, since a mask is known for the next token only', async () => {
    const { constraints, harness } = open(true, { limits: { speculation: 'prompt-lookup' } });
    harness.submit(scripted('bounded', { promptTokenIds: [...SCRIPT, ...SCRIPT, ...SCRIPT] }));
    constraints.finish('ready');
    await harness.run();
    expect(harness.tokensOf('bounded')).toEqual(SCRIPT);
    expect(harness.engine.stats().draftTokens).toBe(0);
  });

  it('fails alone when its grammar cannot be used or its thread is lost', () => {
    for (const [problem, end] of [
      ['no rule', 'failed invalid_request'],
      [null, 'failed generation_failed'],
    ] as const) {
      const { constraints, harness } = open(false);
      harness.submit(scripted('bounded'));
      constraints.finish('failed', problem);
      harness.step();
      expect(harness.endOf('bounded')).toBe(end);
      expect(constraints.opened[0]?.isOpen).toBe(false);
    }
  });

  it('is refused by an engine that takes no grammars, and closes its constraint when it is cancelled', () => {
    const without = new EngineHarness();
    without.submit(scripted('bounded'));
    expect(without.endOf('bounded')).toBe('failed invalid_request');
    const { constraints, harness } = open(false);
    harness.submit(scripted('bounded'));
    harness.cancel('bounded');
    expect(constraints.opened[0]?.isOpen).toBe(false);
  });
});
