import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createWordMerger } from './long-word-merges.ts';

const merges: [string, string][] = [
  ['a', 'b'],
  ['b', 'c'],
  ['ab', 'ab'],
  ['a', 'a'],
  ['aa', 'a'],
  ['c', 'ab'],
  ['aa', 'aa'],
  ['bc', 'aa'],
  ['🦜', 'a'],
];

/** BPE from its definition: again and again the first place with the lowest rank. */
function mergeByDefinition(word: string): string[] {
  const pieces = Array.from(word);
  for (;;) {
    let best = { rank: Number.POSITIVE_INFINITY, place: -1 };
    for (let place = 0; place + 1 < pieces.length; place++) {
      const rank = merges.findIndex(([left, right]) => left === pieces[place] && right === pieces[place + 1]);
      if (rank >= 0 && rank < best.rank) best = { rank, place };
    }
    if (best.place < 0) return pieces;
    pieces.splice(best.place, 2, `${pieces[best.place]}${pieces[best.place + 1]}`);
  }
}

describe('a word merger', () => {
  it('merges as the definition of BPE says', () => {
    const mergeWord = createWordMerger(merges);
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', 'b', 'c', '🦜', 'é'), maxLength: 60 }), (word) => {
        expect(mergeWord(word)).toEqual(mergeByDefinition(word));
      }),
      { seed: 21, numRuns: 1000 },
    );
  });

  it('takes the leftmost of equal places', () => {
    expect(createWordMerger(merges)('aaaaa')).toEqual(['aa', 'aaa']);
    expect(createWordMerger([['x', 'x']])('xxx')).toEqual(['xx', 'x']);
  });

  it('keeps characters that no merge knows', () => {
    expect(createWordMerger([])('né')).toEqual(['n', 'é']);
  });
});
