import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { TrainingExample } from '../ports.ts';
import { layOut } from './token-layout.ts';

const example = (tokenIds: readonly number[], supervised: readonly number[]): TrainingExample => ({
  tokenIds: Int32Array.from(tokenIds),
  supervised: Uint8Array.from(supervised),
});

/** Few ids, so that rows often begin alike. */
const anyExample = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 0, max: 1 })), { minLength: 1, maxLength: 8 })
  .map((tokens) =>
    example(
      tokens.map(([id]) => id),
      tokens.map(([, flag]) => flag),
    ),
  );

describe('layOut', () => {
  it('ends rows before their last supervised token and leaves out those without one', () => {
    const layout = layOut([example([4, 5, 6, 7], [1, 0, 1, 0]), example([8, 9], [1, 0])], true);
    expect(layout).toMatchObject({ tokenIds: [4, 5], rows: [[0, 1]], supervised: [{ token: 1, target: 6 }], copies: [] });
  });

  it('computes the tokens that rows begin with once, up to the first that predicts a supervised one', () => {
    const rows = [example([1, 2, 3, 4], [0, 0, 0, 1]), example([1, 2, 3, 5], [0, 0, 0, 1]), example([1, 2, 3], [0, 1, 1])];
    const layout = layOut(rows, true);
    expect(layout.rows).toEqual([
      [0, 1, 2],
      [0, 1, 3],
      [4, 5],
    ]);
    expect(layout.copies).toEqual([
      { row: 1, position: 0, token: 0 },
      { row: 1, position: 1, token: 1 },
    ]);
    expect(layOut(rows, false).tokenIds).toHaveLength(8);
  });

  it('gives every position a token of its id whose beginning is the same, and every supervised one a token of its own', () => {
    fc.assert(
      fc.property(fc.array(anyExample, { maxLength: 6 }), fc.boolean(), (examples, shares) => {
        const layout = layOut(examples, shares);
        const counted = examples.filter(({ supervised }) => supervised.lastIndexOf(1) > 0);
        expect(layout.rows).toHaveLength(counted.length);
        const beginnings = new Map<number, string>();
        for (const [index, row] of layout.rows.entries())
          for (const [position, token] of row.entries()) {
            const beginning = counted[index]?.tokenIds.slice(0, position + 1).join(' ') ?? '';
            expect(beginnings.get(token) ?? beginning).toBe(beginning);
            beginnings.set(token, beginning);
            expect(layout.tokenIds[token]).toBe(counted[index]?.tokenIds[position]);
          }
        const targets = counted.flatMap(({ tokenIds, supervised }) => [...tokenIds].filter((_, at) => at > 0 && supervised[at] === 1));
        expect(layout.supervised.map(({ target }) => target)).toEqual(targets);
        expect(new Set(layout.supervised.map(({ token }) => token)).size).toBe(targets.length);
        const places = [...layout.owners, ...layout.copies].map(({ row, position }) => `${row} ${position}`);
        expect(places.toSorted()).toEqual(layout.rows.flatMap((row, at) => row.map((_, position) => `${at} ${position}`)).toSorted());
      }),
      { numRuns: 300 },
    );
  });
});
