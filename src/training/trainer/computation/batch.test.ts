import { describe, expect, it } from 'vitest';
import { makeBatch } from './batch.ts';

const heads = { headCount: 2, kvHeadCount: 1, slidingWindow: null };
const examples = [
  { tokenIds: Int32Array.of(4, 5, 6), supervised: Uint8Array.of(1, 0, 1) },
  { tokenIds: Int32Array.of(8), supervised: Uint8Array.of(1) },
];

/** Which positions a position of a row sees. */
function seen(mask: Float32Array, length: number, row: number, query: number): number[] {
  return Array.from({ length }, (_, key) => key).filter((key) => mask[(row * length + query) * length + key] === 0);
}

describe('makeBatch', () => {
  it('lays tokens flat and says where each vector of a head lies by row', () => {
    const batch = makeBatch(examples, heads);
    expect([batch.tokenCount, batch.rowCount, batch.length]).toEqual([4, 2, 3]);
    expect([...batch.inputIds]).toEqual([4n, 5n, 6n, 8n]);
    // Row 0: head 0 of tokens 0, 1, 2, then head 1; row 1: token 3, then padding.
    expect([...batch.unpackQueries]).toEqual([0n, 2n, 4n, 1n, 3n, 5n, 6n, 6n, 6n, 7n, 7n, 7n]);
    expect([...batch.packKeys]).toEqual([0n, 0n, 0n, 0n, 0n, 1n, 0n, 0n, 2n, 1n, 0n, 0n]);
  });

  it('counts the prediction of a supervised token at the token before it, and never that of the first', () => {
    const batch = makeBatch(examples, heads);
    expect([batch.supervisedCount, [...batch.supervised], [...batch.targets]]).toEqual([1, [1n], [6n]]);
    expect([...batch.supervisedInverse]).toEqual([1n, 0n, 1n, 1n]);
  });

  it('lets a token see itself and those before it, and padding only padding', () => {
    const { mask } = makeBatch(examples, heads);
    expect([0, 1, 2].map((query) => seen(mask, 3, 0, query))).toEqual([[0], [0, 1], [0, 1, 2]]);
    expect([0, 1, 2].map((query) => seen(mask, 3, 1, query))).toEqual([[0], [1], [1, 2]]);
  });

  it('ends what a token sees at the sliding window, itself counted', () => {
    const { mask } = makeBatch(examples, { ...heads, slidingWindow: 2 });
    expect([0, 1, 2].map((query) => seen(mask, 3, 0, query))).toEqual([[0], [0, 1], [1, 2]]);
  });

  it('takes a batch without examples', () => {
    expect(makeBatch([], heads)).toMatchObject({ tokenCount: 0, rowCount: 0, length: 0, supervisedCount: 0 });
  });
});
