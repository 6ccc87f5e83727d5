import { describe, expect, it } from 'vitest';
import { makeBatch } from './batch.ts';

const heads = { headCount: 2, kvHeadCount: 1, headSize: 2, maxContext: 3, slidingWindow: null };
const examples = [
  { tokenIds: Int32Array.of(4, 5, 6, 7), supervised: Uint8Array.of(1, 0, 1, 1) },
  { tokenIds: Int32Array.of(8, 9), supervised: Uint8Array.of(0, 1) },
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
    expect([...batch.packKeys]).toEqual([0n, 1n, 2n, 3n]);
  });

  it('counts the prediction of a supervised token at the token before it, and never that of the first', () => {
    const batch = makeBatch(examples, heads);
    expect([batch.supervisedCount, [...batch.supervised], [...batch.targets]]).toEqual([3, [1n, 2n, 3n], [6n, 7n, 9n]]);
    expect([...batch.supervisedInverse]).toEqual([3n, 0n, 1n, 2n]);
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

  it('pads rows to whole vectors, within the context', () => {
    expect(makeBatch(examples, { ...heads, maxContext: 20 }).length).toBe(16);
    expect(makeBatch(examples, { ...heads, maxContext: 12 }).length).toBe(12);
  });

  it('says where shared tokens have further keys, and that these have no query', () => {
    const [row] = examples.slice(0, 1).map(({ tokenIds }) => ({ tokenIds, supervised: Uint8Array.of(0, 0, 0, 1) }));
    if (!row) throw new Error('no row');
    const batch = makeBatch([row, row], heads, true);
    expect([batch.tokenCount, batch.shared && [...batch.shared.copiedKeys]]).toEqual([4, [3n, 4n]]);
    expect([...(batch.shared?.copiedKeyRows ?? [])]).toEqual([0n, 0n, 1n, 1n]);
    expect(batch.unpackQueries.slice(6)).toEqual(BigInt64Array.of(0n, 2n, 6n, 1n, 3n, 7n));
    expect([...(batch.shared?.ownQueries.slice(6) ?? [])]).toEqual([8n, 8n, 6n, 8n, 8n, 7n]);
    expect(makeBatch([row, row], heads).shared).toBeNull();
  });

  it('takes a batch without examples', () => {
    expect(makeBatch([], heads)).toMatchObject({ tokenCount: 0, rowCount: 0, length: 0, supervisedCount: 0 });
  });
});
