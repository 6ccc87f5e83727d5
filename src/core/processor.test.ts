import { describe, expect, it } from 'vitest';
import { hasInt8DotProduct, hasInt8Tiles, parseProcessorFlags } from './processor.ts';

describe('processor flags', () => {
  it('are read from x86 and ARM texts', () => {
    expect([...parseProcessorFlags('processor\t: 0\nflags\t\t: fpu avx2 avx512_vnni\nbugs : x\n')]).toEqual(['fpu', 'avx2', 'avx512_vnni']);
    expect(parseProcessorFlags('Features\t: fp asimd asimddp\n').has('asimddp')).toBe(true);
    expect(parseProcessorFlags('').size).toBe(0);
  });

  it('tell whether int8 products are fast, and give the unknown the benefit of the doubt', () => {
    expect(hasInt8DotProduct(new Set(['avx2']))).toBe(false);
    expect(hasInt8DotProduct(new Set(['avx2', 'avx_vnni']))).toBe(true);
    expect(hasInt8DotProduct(new Set())).toBe(true);
    expect(hasInt8Tiles(new Set(['avx512_vnni', 'amx_int8', 'amx_tile']))).toBe(true);
    expect(hasInt8Tiles(new Set(['avx512_vnni', 'amx_bf16']))).toBe(false);
  });
});
