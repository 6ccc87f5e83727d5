import { describe, expect, it } from 'vitest';
import { BLOCK_POSITIONS } from '../ports.ts';
import { PrefixCache, type CachedBlock, type PrefixNode } from './prefix-cache.ts';

const SCOPE = { group: 'a', adapterDigest: null };
const tokens = (count: number, first = 0): number[] => Array.from({ length: count }, (_, index) => first + index);

/** Adds the blocks of a prompt, as a row would; answers those that were added. */
function fill(cache: PrefixCache, prompt: readonly number[], scope = SCOPE): readonly CachedBlock[] {
  const added: CachedBlock[] = [];
  let node: PrefixNode = cache.root(scope);
  for (let start = 0; ; start += BLOCK_POSITIONS) {
    const key = cache.keyAfter(node, prompt, start);
    const block = key === null ? null : cache.add(key, node);
    if (block === null) break;
    added.push(block);
    node = block;
  }
  cache.touch(node);
  return added;
}

/** Positions of a prompt that the cache knows. */
function known(cache: PrefixCache, prompt: readonly number[], scope: { group: string; adapterDigest: string | null } = SCOPE): number {
  let node: PrefixNode = cache.root(scope);
  for (let start = 0; ; start += BLOCK_POSITIONS) {
    const key = cache.keyAfter(node, prompt, start);
    const block = key === null ? null : cache.find(key);
    if (block === null) return start;
    node = block;
  }
}

describe('the prefix cache', () => {
  it('knows whole blocks of a prompt, up to the first token that differs', () => {
    const cache = new PrefixCache(64);
    fill(cache, tokens(40));
    expect(known(cache, tokens(40))).toBe(32);
    expect(known(cache, [...tokens(20), 99, ...tokens(20)])).toBe(16);
    expect(known(cache, tokens(40, 1))).toBe(0);
  });

  it('tells the same tokens apart by what precedes them', () => {
    const cache = new PrefixCache(64);
    fill(cache, tokens(32));
    expect(known(cache, [...tokens(16, 50), ...tokens(16, 16)])).toBe(0);
  });

  it('shares nothing between tenants or adapters, whatever their names are made of', () => {
    const cache = new PrefixCache(64);
    fill(cache, tokens(32), { group: 'a"', adapterDigest: null });
    for (const scope of [SCOPE, { group: 'a"', adapterDigest: 'd' }, { group: 'a",null]', adapterDigest: null }])
      expect(known(cache, tokens(32), scope)).toBe(0);
    expect(known(cache, tokens(32), { group: 'a"', adapterDigest: null })).toBe(32);
  });

  it('gives no slot to two blocks, and drops the least recently used prompt, its end first', () => {
    const cache = new PrefixCache(4);
    const first = fill(cache, tokens(32));
    fill(cache, tokens(32, 100));
    expect(cache.size).toBe(4);
    fill(cache, tokens(16, 200));
    expect(known(cache, tokens(32))).toBe(16);
    expect(known(cache, tokens(32, 100))).toBe(32);
    expect(known(cache, tokens(16, 200))).toBe(16);
    const reused = cache.find(cache.keyAfter(cache.root(SCOPE), tokens(16, 200), 0) ?? '');
    expect(reused?.slot).toBe(first[1]?.slot);
  });

  it('does not find a block again through a beginning that was dropped and came back', () => {
    const cache = new PrefixCache(4);
    const [, second] = fill(cache, tokens(32));
    for (const first of [100, 200, 300]) fill(cache, tokens(16, first));
    fill(cache, tokens(16));
    expect(known(cache, tokens(32))).toBeLessThan(32);
    expect(second === undefined || cache.add('child', second)).toBeNull();
  });

  it('keeps the beginning of a prompt that is longer than half of it', () => {
    const cache = new PrefixCache(4);
    expect(fill(cache, tokens(1000))).toHaveLength(2);
    expect(known(cache, tokens(1000))).toBe(32);
  });

  it('keeps nothing without slots', () => {
    expect(fill(new PrefixCache(0), tokens(100))).toEqual([]);
  });
});
