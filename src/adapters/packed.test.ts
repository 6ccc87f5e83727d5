// The packed file gives back what was laid out, aligned, and does not take a damaged file for a whole one.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Digest } from '../core/index.ts';
import { decodePacked, encodePacked, PACKED_ALIGNMENT, packedArray, type PackedSiteContent } from './packed.ts';

const BASE = 'c'.repeat(64) as Digest;
const array = fc.float32Array({ minLength: 1, maxLength: 40, noNaN: true });
const content: fc.Arbitrary<PackedSiteContent> = fc.record(
  {
    site: fc.constantFrom('layers.0.q', 'embed', 'head'),
    rank: fc.integer({ min: 1, max: 8 }),
    a: array,
    b: array,
    gain: array,
    bias: array,
  },
  { requiredKeys: ['site', 'rank', 'a', 'b'] },
);

describe('the packed form', () => {
  it('gives back every array as it was, on an aligned place', () => {
    fc.assert(
      fc.property(fc.array(content, { maxLength: 4 }), (sites) => {
        const adapter = decodePacked(encodePacked(BASE, sites));
        expect(adapter.header).toMatchObject({ format: 'lorikeet-adapter', version: 1, kind: 'lora', baseDigest: BASE });
        const found = adapter.header.sites.map((site) => {
          const places = { a: site.a, b: site.b, ...(site.gain && { gain: site.gain }), ...(site.bias && { bias: site.bias }) };
          for (const { offset } of Object.values(places)) expect(offset % PACKED_ALIGNMENT).toBe(0);
          const arrays = Object.fromEntries(Object.entries(places).map(([name, place]) => [name, packedArray(adapter, place)]));
          return { site: site.site, rank: site.rank, ...arrays };
        });
        expect(found).toEqual(sites);
      }),
      { seed: 20_261_123 },
    );
  });

  it('is refused when it is cut anywhere before its last value', () => {
    const whole = encodePacked(BASE, [{ site: 'head', rank: 1, a: Float32Array.of(1, 2), b: Float32Array.of(3) }]);
    const lastValueEnd = whole.length - PACKED_ALIGNMENT + Float32Array.BYTES_PER_ELEMENT;
    for (let length = 0; length < lastValueEnd; length += 1) expect(() => decodePacked(whole.slice(0, length))).toThrow('packed adapter');
    expect(decodePacked(whole).header.sites).toHaveLength(1);
  });
});
