import { describe, expect, it } from 'vitest';
import { createCosts, predictPrefill, recordDecode, recordPrefill } from './costs.ts';

describe('measured costs', () => {
  it('know nothing before the first measurement', () => {
    expect(predictPrefill(createCosts(), 16, 0)).toBe(Infinity);
  });

  it('take a size that was not measured for the mean of its neighbours, and later positions for earlier ones', () => {
    const costs = createCosts();
    recordPrefill(costs, 8, 0, 8 * 4);
    recordPrefill(costs, 32, 0, 32 * 2);
    expect(predictPrefill(costs, 16, 0)).toBe(16 * 3);
    expect(predictPrefill(costs, 32, 5000)).toBe(32 * 2);
  });

  it('follow a slow moment of the machine and its end for sizes that are not chosen meanwhile', () => {
    const costs = createCosts();
    for (const size of [8, 32]) recordPrefill(costs, size, 0, 2 * size);
    for (let call = 0; call < 20; call += 1) recordPrefill(costs, 8, 0, 6 * 8);
    const slow = predictPrefill(costs, 32, 0);
    for (let call = 0; call < 20; call += 1) recordPrefill(costs, 8, 0, 2 * 8);
    expect(slow).toBeGreaterThan(1.5 * 64);
    expect(predictPrefill(costs, 32, 0)).toBeLessThan(1.1 * 64);
  });

  it('let a single pause count as no more than twice the estimate', () => {
    const costs = createCosts();
    recordDecode(costs, '512', 10);
    recordDecode(costs, '512', 5000);
    expect(costs.decodeMs.get('512')).toBeCloseTo(13);
  });
});
