import { describe, expect, it } from 'vitest';
import { fakeAdapter } from '../../../test/support/fake-adapters.ts';
import { createDecodeCosts, recordDecodeRows } from './decode-costs.ts';
import { ENTER_RATIO, type GainRow, LEAVE_RATIO, splitRatio } from './merge-gain.ts';

const OWN = fakeAdapter(1).digest;
const OTHER = fakeAdapter(2).digest;

/** As measured on the default model at int8: 7 ms and 3 ms a row without side paths, 25 % more with them. */
function measured(): ReturnType<typeof createDecodeCosts> {
  const costs = createDecodeCosts();
  for (let rows = 1; rows <= 16; rows += 1) {
    recordDecodeRows(costs, 'plain', rows, 7 + 3 * rows);
    recordDecodeRows(costs, 'side', rows, 1.25 * (7 + 3 * rows));
  }
  return costs;
}

function rowsOf(count: number, changes: Partial<GainRow> = {}): GainRow[] {
  return Array.from({ length: count }, () => ({ capacity: 512, adapterDigest: OWN, merged: null, ...changes }));
}

describe('the time of a round with merged calls', () => {
  it('is what side paths cost less, when the adapter is alone', () => {
    expect(splitRatio(measured(), OWN, rowsOf(8))).toBeCloseTo(0.8);
    expect(splitRatio(measured(), OWN, rowsOf(8, { merged: OWN }))).toBeCloseTo(0.8);
  });

  it('is longer when few rows are the adapter’s, and shorter when nearly all of many are', () => {
    const few = [...rowsOf(1), ...rowsOf(7, { adapterDigest: OTHER })];
    expect(splitRatio(measured(), OWN, few)).toBeGreaterThan(LEAVE_RATIO);
    const most = [...rowsOf(15), ...rowsOf(1, { adapterDigest: null })];
    expect(splitRatio(measured(), OWN, most)).toBeLessThan(ENTER_RATIO);
  });

  it('leaves out rows that other merged adapters compute, and counts each capacity', () => {
    const others = rowsOf(5, { adapterDigest: OTHER, merged: OTHER });
    expect(splitRatio(measured(), OWN, [...rowsOf(4), ...others])).toBeCloseTo(0.8);
    const wide = [...rowsOf(4), ...rowsOf(4, { capacity: 2048 })];
    expect(splitRatio(measured(), OWN, wide)).toBeCloseTo(0.8);
  });

  it('is unknown without rows or measurements', () => {
    expect(splitRatio(measured(), OWN, rowsOf(3, { adapterDigest: OTHER }))).toBeNull();
    expect(splitRatio(createDecodeCosts(), OWN, rowsOf(3))).toBeNull();
  });
});
