// The grammar of adapter references, by table and by property.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseReference } from './reference.ts';

const BASE = 'tiny-llama';
const DIGEST = 'ab'.repeat(32);

describe('parseReference', () => {
  it.each([
    ['poet', null, 'poet', { kind: 'active' }],
    ['poet@3', null, 'poet', { kind: 'version', version: 3 }],
    [`poet@sha256:${DIGEST}`, null, 'poet', { kind: 'digest', digest: DIGEST }],
    ['acme/poet', 'acme', 'poet', { kind: 'active' }],
    ['tiny-llama:poet', null, 'poet', { kind: 'active' }],
    ['tiny-llama:acme/poet@12', 'acme', 'poet', { kind: 'version', version: 12 }],
    ['a.b-c_d@999999999', null, 'a.b-c_d', { kind: 'version', version: 999_999_999 }],
  ])('understands %s', (text, tenant, name, selector) => {
    expect(parseReference(text, BASE)).toEqual({ tenant, name, selector });
  });

  it.each([
    '',
    '/',
    '@',
    'poet@',
    '@1',
    'poet@0',
    'poet@-1',
    'poet@01',
    'poet@1.5',
    'poet@1e3',
    'poet@9999999999',
    'poet@1@2',
    'poet@sha256:',
    `poet@sha256:${DIGEST.toUpperCase()}`,
    `poet@sha512:${DIGEST}`,
    '/poet',
    'acme/',
    'a/b/c',
    'Poet',
    ' poet',
    'poet ',
    '../poet',
    'other-base:poet',
    'tiny-llama:',
    'tiny-llama:tiny-llama:poet',
    'poet\u0000',
    'x'.repeat(64),
    'x'.repeat(1_000_000),
  ])('refuses %j', (text) => {
    expect(parseReference(text, BASE)).toBeUndefined();
  });

  it('never throws, and answers names of the allowed form only', () => {
    const piece = fc.oneof(
      fc.constantFrom('poet', 'acme', 'tiny-llama', '/', '@', ':', 'sha256:', '1', DIGEST),
      fc.string({ maxLength: 3 }),
    );
    const text = fc.array(piece, { maxLength: 7 }).map((pieces) => pieces.join(''));
    fc.assert(
      fc.property(text, (candidate) => {
        const reference = parseReference(candidate, BASE);
        if (reference === undefined) return;
        expect(reference.name).toMatch(/^[a-z0-9][a-z0-9._-]{0,62}$/);
        expect(reference.tenant ?? 'own').toMatch(/^[a-z0-9][a-z0-9._-]{0,62}$/);
      }),
      { seed: 20_261_123, numRuns: 2000 },
    );
  });
});
