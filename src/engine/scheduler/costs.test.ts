import { describe, expect, it } from 'vitest';
import { createCosts, predictChunk, recordDecode, recordChunk } from './costs.ts';

describe('measured costs', () => {
  it('know nothing before the first measurement', () => {
    expect(predictChunk(createCosts().prefill, 16, 0)).toBe(Infinity);
  });

  it('take a size that was not measured for the mean of its neighbours, and later positions for earlier ones', () => {
    const costs = createCosts();
    recordChunk(costs.prefill, 8, 0, 8 * 4);
    recordChunk(costs.prefill, 32, 0, 32 * 2);
    expect(predictChunk(costs.prefill, 16, 0)).toBe(16 * 3);
    expect(predictChunk(costs.prefill, 32, 5000)).toBe(32 * 2);
  });

  it('follow a slow moment of the machine and its end for sizes that are not chosen meanwhile', () => {
    const costs = createCosts();
    for (const size of [8, 32]) recordChunk(costs.prefill, size, 0, 2 * size);
    for (let call = 0; call < 20; call += 1) recordChunk(costs.prefill, 8, 0, 6 * 8);
    const slow = predictChunk(costs.prefill, 32, 0);
    for (let call = 0; call < 20; call += 1) recordChunk(costs.prefill, 8, 0, 2 * 8);
    expect(slow).toBeGreaterThan(1.5 * 64);
    expect(predictChunk(costs.prefill, 32, 0)).toBeLessThan(1.1 * 64);
  });

  it('let a single pause count as no more than twice the estimate', () => {
    const costs = createCosts();
    recordDecode(costs, '512', 10);
    recordDecode(costs, '512', 5000);
    expect(costs.decodeMs.get('512')).toBeCloseTo(13);
  });
});
