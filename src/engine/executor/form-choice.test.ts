import { describe, expect, it } from 'vitest';
import { FormChoice, TRIED_ROWS } from './form-choice.ts';

const pair = (firstMs: number, secondMs: number) => ({ firstMs, secondMs });

describe('the choice between two forms', () => {
  it('is a rule for calls of many tokens, by form and processor', () => {
    const plain = new FormChoice('w8a8', new Set(['avx512_vnni']));
    expect([7, 8].map((count) => plain.takesSecond('none', count))).toEqual([false, true]);
    expect([4, 5].map((count) => plain.takesSecond('linear', count))).toEqual([false, true]);
    const withTiles = new FormChoice('w8a8', new Set(['avx512_vnni', 'amx_int8']));
    expect([3, 4].map((count) => withTiles.takesSecond('none', count))).toEqual([false, true]);
    const float = new FormChoice('fp32', new Set());
    expect([31, 32].map((count) => float.takesSecond('full', count))).toEqual([false, true]);
    expect([plain, float].map(({ triesFew }) => triesFew)).toEqual([true, false]);
  });

  it('takes the second form for few tokens where most pairs of calls were clearly faster with it', () => {
    const choice = new FormChoice('w8a8', new Set(['avx512_vnni']));
    choice.learn(2, [pair(10, 9), pair(10, 9), pair(30, 40)]);
    expect([1, 2, 3, 4].map((count) => choice.takesSecond('none', count))).toEqual([false, true, true, false]);
    choice.learn(2, [pair(10, 9.9), pair(10, 9), pair(10, 9.8)]);
    expect(choice.takesSecond('none', 2)).toBe(false);
  });

  it('holds for calls up to the next number of rows that was tried, whatever adapters they have', () => {
    const choice = new FormChoice('w8a8', new Set(['avx512_vnni']));
    for (const rows of TRIED_ROWS) choice.learn(rows, [pair(10, 8)]);
    for (const profile of ['none', 'linear', 'full'] as const)
      expect([1, 2, 3, 4, 5, 6, 7, 100].every((count) => choice.takesSecond(profile, count))).toBe(true);
  });
});
