import { describe, expect, it } from 'vitest';
import { chooseGroups, type GroupTrial } from './choose-groups.ts';
import { smoothingFactors } from './smoothing-factors.ts';

const trial = (group: string, divergence: number, weightCount: number): GroupTrial => ({ group, divergence, weightCount });

describe('chooseGroups', () => {
  it('takes what moves predictions least for its size, up to the bound', () => {
    const trials = [trial('small', 1, 10), trial('large', 2, 100), trial('outlier', 50, 100), trial('cheap', 0, 1)];
    expect(chooseGroups(trials, 3)).toEqual(['cheap', 'large', 'small']);
    expect(chooseGroups(trials, 2.5)).toEqual(['cheap', 'large']);
    expect(chooseGroups(trials, 0)).toEqual(['cheap']);
  });

  it('passes over one that is too much and goes on with the next, and never takes what was not measured', () => {
    expect(chooseGroups([trial('big', 5, 1000), trial('small', 1, 10), trial('unknown', Infinity, 1e9)], 2)).toEqual(['small']);
    expect(chooseGroups([trial('broken', Number.NaN, 10)], 2)).toEqual([]);
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
