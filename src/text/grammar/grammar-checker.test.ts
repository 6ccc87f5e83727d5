// The checker over real threads: what is said of a grammar, and that a thread which had to be ended harms no later one.
import { describe, expect, it } from 'vitest';
import { BYTE_GRAMMARS } from '../../../test/support/grammar-thread.ts';
import { createGrammarChecker } from './grammar-checker.ts';
import { GrammarThread } from './grammar-thread.ts';
import { jsonSchemaGrammar, textGrammar } from './grammar.ts';

const regex = (text: string) => textGrammar('regex', text, 'p');

describe('checking grammars', () => {
  it('answers each of many at once, and says again what it said before', async () => {
    const checker = createGrammarChecker(BYTE_GRAMMARS);
    const check = (text: string): Promise<string> =>
      checker.check(regex(text), 'a', 'p').then(
        () => 'fits',
        (error: unknown) => String(error),
      );
    const wanted = ['fits', expect.stringContaining('not closed'), 'fits'];
    expect(await Promise.all(['a+', '(a', 'b'].map(check))).toEqual(wanted);
    expect(await Promise.all(['a+', '(a', 'b'].map(check))).toEqual(wanted);
  });

  it('refuses what needs more memory than a grammar may have, and goes on', async () => {
    const checker = createGrammarChecker(BYTE_GRAMMARS);
    await expect(checker.check(regex('((a{1000}){1000}){1000}'), 'a', 'p')).rejects.toThrow('too large');
    await checker.check(regex('a'), 'a', 'p');
  });

  it('ends a thread that stays silent, and fails only what was open in it', async () => {
    const checker = createGrammarChecker({ ...BYTE_GRAMMARS, silenceMs: 1 });
    await expect(checker.check(regex('a'), 'a', 'p')).rejects.toThrow('takes too long');
  });
});

describe('a grammar thread', () => {
  it('lets each constraint follow its own tokens, and waits for masks when asked to', () => {
    const thread = new GrammarThread(BYTE_GRAMMARS);
    const [left, right] = [thread.open(regex('ab|cd'), 'a'), thread.open(jsonSchemaGrammar({ enum: [12] }, 'p'), 'b')];
    const settle = (): void => {
      for (let turn = 0; turn < 100 && [left, right].some(({ state }) => state === 'working'); turn += 1) thread.settle(1000);
    };
    const allowed = (mask: Int32Array): number[] =>
      Array.from({ length: 258 }, (_, id) => id).filter((id) => (((mask[id >> 5] ?? 0) >>> (id & 31)) & 1) === 1);
    settle();
    expect(allowed(left.mask).map((id) => String.fromCodePoint(id))).toEqual(['a', 'c']);
    left.accept(97);
    right.accept(49);
    settle();
    expect(allowed(left.mask)).toEqual([98]);
    expect(allowed(right.mask)).toEqual([50]);
    right.accept(50);
    left.accept(122);
    settle();
    expect(allowed(right.mask)).toEqual([257]);
    expect(left).toMatchObject({ state: 'failed', problem: 'token 122 does not fit the grammar' });
    thread.stop();
    expect(right.state).toBe('failed');
  });
});
