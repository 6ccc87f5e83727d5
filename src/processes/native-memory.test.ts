import { describe, expect, it } from 'vitest';
import { hugePages } from './native-memory.ts';

describe('hugePages', () => {
  it('adds to what the operator has set', () => {
    expect(hugePages({})).toEqual({ GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1' });
    expect(hugePages({ GLIBC_TUNABLES: 'glibc.malloc.check=1' })).toEqual({
      GLIBC_TUNABLES: 'glibc.malloc.check=1:glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1',
    });
  });
});
