// Entity tags and If-Match.
import { expect, it } from 'vitest';
import type { Digest } from '../core/index.ts';
import { ifMatchPasses, pointerEtag } from './etag.ts';

const DIGEST = '0123456789abcdef'.repeat(4) as Digest;

it('names generation and digest, in quotes', () => {
  expect(pointerEtag(3, DIGEST)).toBe('"3-0123456789abcdef"');
  expect(pointerEtag(4, null)).toBe('"4-none"');
});

it.each([
  ['"3-abc"', true],
  ['*', true],
  ['"1-x", "3-abc"', true],
  ['"1-x",*', true],
  ['W/"3-abc"', false],
  ['3-abc', false],
  ['"3-ab"', false],
  ['', false],
  [',', false],
])('If-Match %s passes for "3-abc": %s', (header, passes) => {
  expect(ifMatchPasses(header, '"3-abc"')).toBe(passes);
});
