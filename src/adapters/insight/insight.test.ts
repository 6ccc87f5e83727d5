import { Matrix, QrDecomposition } from 'ml-matrix';
import { describe, expect, it } from 'vitest';
import type { Digest } from '../../core/index.ts';
import type { BaseModelDescription, BaseWeights } from '../../models/index.ts';
import { decodePacked, encodePacked, type PackedAdapter } from '../packed.ts';
import { compareAdapters, meanByModule, subspaceSimilarity } from './compare.ts';
import { deltaDirections } from './delta-directions.ts';
import { heatMap } from './heat-map.ts';
import { directionsHolding, effectiveRank, inspectAdapter } from './inspect.ts';

const IN = 24;
const OUT = 16;
const RANK = 4;

/** mulberry32: the same values in every run. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Normal values by the sum of uniform ones. */
function gaussian(rows: number, columns: number, seed: number): Matrix {
  const next = generator(seed);
  return Matrix.zeros(rows, columns).apply(function (this: Matrix, row, column) {
    this.set(
      row,
      column,
      Array.from({ length: 12 }, next).reduce((sum, value) => sum + value, -6),
    );
  });
}

function adapterOf(a: Matrix, b: Matrix): PackedAdapter {
  const site = { site: 'layers.0.q', rank: a.columns, a: Float32Array.from(a.to1DArray()), b: Float32Array.from(b.to1DArray()) };
  return decodePacked(encodePacked('0'.repeat(64) as Digest, [site]));
}

const randomAdapter = (seed: number): PackedAdapter => adapterOf(gaussian(IN, RANK, seed), gaussian(RANK, OUT, seed + 1));

function directionsOf(adapter: PackedAdapter) {
  const [site] = adapter.header.sites;
  if (!site) throw new Error('the adapter has a site');
  return deltaDirections(adapter, site);
}

const q = { id: 'layers.0.q', module: 'model.layers.0.self_attn.q_proj', kind: 'linear', inFeatures: IN, outFeatures: OUT, layer: 0 };
const base = { sites: [q] } as unknown as BaseModelDescription;
const weightsOf = (weight: Matrix): BaseWeights => ({
  readWeight: () => Promise.resolve(Float32Array.from(weight.to1DArray())),
  readTensor: () => Promise.reject(new Error('no other tensor is read')),
});

describe('directions of a change', () => {
  it('multiply back to s BA', () => {
    const a = gaussian(IN, RANK, 1);
    const b = gaussian(RANK, OUT, 2);
    const { singularValues, input, output } = directionsOf(adapterOf(a, b));
    const rebuilt = input.mmul(Matrix.diag([...singularValues])).mmul(output.transpose());
    expect(Matrix.sub(rebuilt, a.mmul(b)).norm()).toBeLessThan(1e-5 * a.mmul(b).norm());
    expect(singularValues.toSorted((left, right) => right - left)).toEqual(singularValues);
    for (const basis of [input, output]) expect(Matrix.sub(basis.transpose().mmul(basis), Matrix.eye(RANK)).norm()).toBeLessThan(1e-9);
  });

  it('are at most as many as the matrix has rows or columns, whatever the rank', () => {
    const directions = directionsOf(adapterOf(gaussian(IN, 20, 3), gaussian(20, OUT, 4)));
    expect(directions.singularValues).toHaveLength(OUT);
    expect([directions.input.columns, directions.output.columns]).toEqual([OUT, OUT]);
  });
});

describe('inspecting an adapter', () => {
  it('counts directions by entropy and by energy', () => {
    expect(effectiveRank([2, 2, 2, 2])).toBeCloseTo(4, 12);
    expect(effectiveRank([5, 0, 0])).toBeCloseTo(1, 12);
    expect(effectiveRank([0, 0])).toBe(0);
    expect(directionsHolding(0.9, [9, 1])).toBe(1);
    expect(directionsHolding(0.9, [1, 1, 1, 1])).toBe(4);
    expect(directionsHolding(0.9, [0, 0])).toBe(0);
  });

  it('finds norms, and an amplification of k where the change is k times W in its own directions', async () => {
    const basisIn = new QrDecomposition(gaussian(IN, RANK, 5)).orthogonalMatrix;
    const basisOut = new QrDecomposition(gaussian(OUT, RANK, 6)).orthogonalMatrix;
    // W holds a part in the adapter's directions and a part at right angles to it.
    const inDirections = basisOut.mmul(basisIn.transpose());
    const other = gaussian(OUT, IN, 7);
    const outside = Matrix.sub(other, basisOut.mmul(basisOut.transpose()).mmul(other));
    const weight = Matrix.add(inDirections, outside);
    const adapter = adapterOf(basisIn, basisOut.transpose().mul(3));
    const insight = await inspectAdapter(adapter, base, weightsOf(weight));
    const [found] = insight.sites;
    expect(found).toMatchObject({ site: 'layers.0.q', layer: 0, module: 'q_proj', rank: RANK, rank90: 4, gainShift: null });
    expect(found?.deltaNorm).toBeCloseTo(3 * Math.sqrt(RANK), 5);
    expect(found?.relativeNorm).toBeCloseTo((3 * Math.sqrt(RANK)) / weight.norm(), 5);
    expect(found?.amplification).toBeCloseTo(3, 4);
    expect(insight.parameters).toBe(RANK * (IN + OUT));
  });

  it('has no amplification for a change of nothing', async () => {
    const insight = await inspectAdapter(adapterOf(gaussian(IN, RANK, 8), Matrix.zeros(RANK, OUT)), base, weightsOf(gaussian(OUT, IN, 9)));
    expect(insight.sites[0]).toMatchObject({ deltaNorm: 0, effectiveRank: 0, rank90: 0, amplification: null });
  });
});

describe('subspace similarity', () => {
  it('is 1 of an adapter with itself, on both sides', () => {
    const adapter = randomAdapter(10);
    for (const side of ['input', 'output'] as const) {
      const { sites, onlyFirst, onlySecond } = compareAdapters(adapter, adapter, side, 64);
      expect([onlyFirst, onlySecond]).toEqual([[], []]);
      for (const [i, row] of (sites[0]?.phi ?? []).entries())
        for (const [j, phi] of row.entries()) expect(phi, `${i} ${j}`).toBeCloseTo(1, 6);
    }
  });

  it('is max(i, j) / n for random subspaces of n dimensions, in the mean', () => {
    const n = 40;
    const draws = 300;
    const sums = [0, 0];
    const span = (columns: number, seed: number): Matrix => new QrDecomposition(gaussian(n, columns, seed)).orthogonalMatrix;
    for (let draw = 0; draw < draws; draw += 1) {
      const phi = subspaceSimilarity(span(4, 2 * draw), span(8, 100_003 + 2 * draw), 64);
      sums[0] = (sums[0] ?? 0) + (phi[3]?.[7] ?? 0);
      sums[1] = (sums[1] ?? 0) + (phi[0]?.[1] ?? 0);
    }
    // Standard errors of the two means: about 0.002 and 0.003.
    expect(Math.abs((sums[0] ?? 0) / draws - 8 / n)).toBeLessThan(0.01);
    expect(Math.abs((sums[1] ?? 0) / draws - 2 / n)).toBeLessThan(0.015);
  });

  it('is 0 for directions at right angles, and stays between 0 and 1', () => {
    const phi = subspaceSimilarity(Matrix.eye(6, 6).subMatrix(0, 5, 0, 1), Matrix.eye(6, 6).subMatrix(0, 5, 2, 4), 64);
    expect(phi.flat()).toEqual([0, 0, 0, 0, 0, 0]);
    const random = compareAdapters(randomAdapter(12), randomAdapter(14), 'output', 3).sites[0]?.phi ?? [];
    expect([random.length, random[0]?.length]).toEqual([3, 3]);
    for (const value of random.flat()) {
      expect(value).toBeGreaterThanOrEqual(0);
      expect(value).toBeLessThanOrEqual(1 + 1e-9);
    }
  });

  it('is averaged over the layers of a module and drawn with a cell for each i and j', () => {
    const phi = (value: number) => [[value, value]];
    const means = meanByModule([
      { site: 'layers.0.q', phi: phi(0.2) },
      { site: 'layers.1.q', phi: phi(0.4) },
      { site: 'layers.0.v', phi: phi(1) },
    ]);
    expect(means.map(({ site }) => site)).toEqual(['q', 'v']);
    expect(means[0]?.phi[0]?.[0]).toBeCloseTo(0.3, 12);
    const picture = heatMap({ title: 'a < b', rows: 'a', columns: 'b' }, means);
    expect(picture.match(/<title>phi/g)).toHaveLength(4);
    expect(picture).toContain('a &lt; b');
  });
});
