// Holds are counted, and each ends once.
import { expect, it } from 'vitest';
import type { Digest } from '../core/index.ts';
import { BlobHolds } from './blob-holds.ts';

const [ONE, TWO] = ['1'.repeat(64), '2'.repeat(64)] as [Digest, Digest];

it('reports a digest as free when its last hold ends, however often a hold is ended', () => {
  const freed: Digest[] = [];
  const holds = new BlobHolds((digest) => freed.push(digest));
  const endBoth = holds.hold([ONE, TWO]);
  const endOne = holds.hold([ONE]);
  endBoth();
  endBoth();
  expect(freed).toEqual([TWO]);
  expect([holds.isHeld(ONE), holds.isHeld(TWO)]).toEqual([true, false]);
  endOne();
  expect(freed).toEqual([TWO, ONE]);
});
