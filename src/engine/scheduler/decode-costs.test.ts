import { describe, expect, it } from 'vitest';
import { createDecodeCosts, predictDecode, recordDecodeRows } from './decode-costs.ts';

describe('costs of decode calls by rows', () => {
  it('are unknown at first, and nothing for no rows', () => {
    const costs = createDecodeCosts();
    expect(predictDecode(costs, 'side', 4)).toBeNull();
    expect(predictDecode(costs, 'plain', 4)).toBeNull();
    expect(predictDecode(costs, 'plain', 0)).toBe(0);
  });

  it('lie between the nearest numbers of rows, and grow by a part of the call beyond them', () => {
    const costs = createDecodeCosts();
    recordDecodeRows(costs, 'side', 2, 10);
    recordDecodeRows(costs, 'side', 6, 30);
    expect(predictDecode(costs, 'side', 2)).toBe(10);
    expect(predictDecode(costs, 'side', 3)).toBe(15);
    expect(predictDecode(costs, 'side', 1)).toBeCloseTo(7);
    expect(predictDecode(costs, 'side', 12)).toBeCloseTo(48);
  });

  it('take calls without side paths for a little cheaper until one was measured', () => {
    const costs = createDecodeCosts();
    recordDecodeRows(costs, 'side', 4, 20);
    expect(predictDecode(costs, 'plain', 4)).toBeCloseTo(18);
    recordDecodeRows(costs, 'plain', 4, 12);
    expect(predictDecode(costs, 'plain', 4)).toBe(12);
  });

  it('follow slowly, and count a pause as twice the estimate', () => {
    const costs = createDecodeCosts();
    recordDecodeRows(costs, 'plain', 1, 10);
    recordDecodeRows(costs, 'plain', 1, 5000);
    expect(predictDecode(costs, 'plain', 1)).toBeCloseTo(12);
  });
});
