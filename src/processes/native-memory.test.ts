import { describe, expect, it } from 'vitest';
import { hugePages } from './native-memory.ts';

describe('hugePages', () => {
  it('adds to what the operator has set', () => {
    expect(hugePages({})).toEqual({ GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1' });
    expect(hugePages({ GLIBC_TUNABLES: 'glibc.malloc.arena_max=2' })).toEqual({
      GLIBC_TUNABLES: 'glibc.malloc.arena_max=2:glibc.malloc.hugetlb=1',
    });
  });
});
