import { describe, expect, it } from 'vitest';
import { chooseGroups } from './choose-groups.ts';
import { smoothingFactors } from './smoothing-factors.ts';

/** Divergences add up; counts what is measured. */
async function choose(
  divergences: Readonly<Record<string, number>>,
  bound: number,
  weightCounts: Readonly<Record<string, number>> = {},
): Promise<{ readonly groups: readonly string[]; readonly trials: number }> {
  let trials = 0;
  const candidates = Object.keys(divergences).map((group) => ({ group, weightCount: weightCounts[group] ?? 1 }));
  const groups = await chooseGroups(candidates, bound, async (tried) => {
    trials += 1;
    return await Promise.resolve(tried.reduce((sum, group) => sum + (divergences[group] ?? NaN), 0));
  });
  return { groups, trials };
}

const many = (count: number, bad: Readonly<Record<number, number>>): Readonly<Record<string, number>> =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`g${index}`, bad[index] ?? 1]));

describe('chooseGroups', () => {
  it('takes all groups after one trial where they are within the bound together', async () => {
    expect(await choose({ a: 1, b: 2 }, 3)).toEqual({ groups: ['a', 'b'], trials: 1 });
  });

  it('finds one bad group among many with few trials', async () => {
    const { groups, trials } = await choose(many(128, { 77: 500 }), 127);
    expect(groups).toEqual(Object.keys(many(128, {})).filter((group) => group !== 'g77'));
    expect(trials).toBe(1 + 2 * Math.log2(128));
  });

  it('leaves out as many groups as it takes, the worst for their size first', async () => {
    expect((await choose(many(16, { 3: 90, 9: 40 }), 54)).groups).not.toContain('g3');
    expect((await choose(many(16, { 3: 90, 9: 40 }), 54)).groups).toContain('g9');
    expect((await choose(many(16, { 3: 90, 9: 40 }), 53)).groups).toHaveLength(14);
    expect((await choose({ large: 6, small: 4 }, 9, { large: 3, small: 1 })).groups).toEqual(['large']);
  });

  it('takes none where none is within the bound, also where predictions are not numbers', async () => {
    expect(await choose({ a: 2, b: 2 }, 1)).toMatchObject({ groups: [] });
    expect(await choose({ a: NaN, b: 1 }, 1)).toMatchObject({ groups: ['b'] });
    expect(await choose({}, 1)).toMatchObject({ groups: [], trials: 0 });
  });
});

describe('smoothingFactors', () => {
  it('follow the activations and go against the weights, around 1', () => {
    // Two output channels: max|w| is 4, 1, 1.
    const factors = smoothingFactors(Float32Array.of(1, 1, 1024), Float32Array.of(4, 1, -1, -2, -1, 0.5));
    expect(factors.reduce((product, factor) => product * factor, 1)).toBeCloseTo(1, 5);
    expect((factors[2] ?? 0) / (factors[1] ?? 1)).toBeCloseTo(1024 ** 0.7, 3);
    expect((factors[0] ?? 0) / (factors[1] ?? 1)).toBeCloseTo(4 ** -0.3, 5);
  });

  it('stay finite for channels that never move and weights that are zero', () => {
    expect(smoothingFactors(new Float32Array(3), new Float32Array(6)).every((factor) => Number.isFinite(factor) && factor > 0)).toBe(true);
  });
});
