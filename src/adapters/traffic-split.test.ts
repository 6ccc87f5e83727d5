// The split of traffic between a version and its canary.
import { describe, expect, it } from 'vitest';
import type { AdapterName, TenantId } from '../core/index.ts';
import { takesCanary } from './traffic-split.ts';

const ACME = 'acme' as TenantId;
const POET = 'poet' as AdapterName;
const KEYS = Array.from({ length: 20_000 }, (_, index) => `user ${index}`);

function taken(share: number, version = 5): readonly string[] {
  return KEYS.filter((key) => takesCanary(ACME, POET, { version, share }, key));
}

describe('a traffic split', () => {
  it.each([0.01, 0.1, 0.5, 0.9])('gives a canary its share of many keys: %d', (share) => {
    // Five standard deviations of a binomial; the hash is fixed, so this cannot flicker.
    const slack = 5 * Math.sqrt(share * (1 - share) * KEYS.length);
    expect(Math.abs(taken(share).length - share * KEYS.length)).toBeLessThan(slack);
  });

  it('keeps who met the canary when its share grows', () => {
    const [few, many] = [taken(0.1), new Set(taken(0.3))];
    expect(few.filter((key) => !many.has(key))).toEqual([]);
  });

  it('chooses other keys for another canary, name and tenant', () => {
    const share = 0.1;
    const first = new Set(taken(share));
    const overlap = (others: readonly string[]): number => others.filter((key) => first.has(key)).length / others.length;
    const canary = { version: 5, share };
    expect(overlap(taken(share, 6))).toBeLessThan(0.2);
    expect(overlap(KEYS.filter((key) => takesCanary('globex' as TenantId, POET, canary, key)))).toBeLessThan(0.2);
    expect(overlap(KEYS.filter((key) => takesCanary(ACME, 'clerk' as AdapterName, canary, key)))).toBeLessThan(0.2);
  });
});
