import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { fixtureAdapter } from '../../../test/support/adapter-files.ts';
import { fixturePath } from '../../../test/support/repository.ts';
import { TINY_BASE, tinyWeights } from '../../../test/support/tiny-base.ts';
import { MERGED_FP32 } from '../../../test/support/tolerances.ts';
import { mergedTensors, type PackedAdapter } from '../packed.ts';
import { mergeAdapters, packSum } from './merge-adapters.ts';
import type { LoraPart } from './merge-lora.ts';

const base = { description: TINY_BASE, weights: tinyWeights() };

function partsOf(mix: string): readonly LoraPart[] {
  return mix.split(',').map((part) => {
    const [name = '', weight] = part.split('*');
    return { label: name, weight: Number(weight), files: fixtureAdapter(`tiny-adapters/${name}`) };
  });
}

/** Every tensor of the merged model that the adapter changes. */
async function effect(adapter: PackedAdapter): Promise<Map<string, Float32Array>> {
  const tensors = new Map<string, Float32Array>();
  for (const [name, merge] of mergedTensors(adapter, TINY_BASE.sites)) {
    const site = TINY_BASE.sites.find(({ module }) => name.startsWith(`${module}.`));
    const isBias = name.endsWith('.bias');
    tensors.set(name, merge(isBias ? new Float32Array(site?.outFeatures ?? 0) : await base.weights.readWeight(site?.module ?? '')));
  }
  return tensors;
}

function norm(values: Float32Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0));
}

const EXACT = { strategy: { strategy: 'sum' }, rank: null } as const;

describe('adapters merged into one', () => {
  it.each([
    'qv-r8*0.7,linears-r4-patterns*0.3',
    'qv-r8*-0.5',
    'dora-linears*0.6,embedding-linears-head*-0.4,rslora-attention*0.5',
    'dora-embedding*0.3,dora-embedding-linears-head*0.4',
    'lora-bias-linears*0.5,lora-bias-head*0.25,qv-r8*1',
    'token-rows*0.5,linears-bf16*0.5',
  ])('as PEFT files do what the mix does, and are accepted as an upload: %s', async (mix) => {
    const { files, relativeError } = await mergeAdapters(partsOf(mix), EXACT, base);
    expect(relativeError).toBe(0);
    const expected = await effect(await packSum(partsOf(mix), base));
    const found = await effect(await packSum([{ label: 'merged', weight: 1, files }], base));
    expect([...found.keys()].toSorted()).toEqual(expect.arrayContaining([...expected.keys()].toSorted()));
    for (const [name, values] of expected) {
      const error = norm(values.map((value, index) => value - (found.get(name)?.[index] ?? Number.NaN))) / norm(values);
      expect({ name, error: error < MERGED_FP32 ? 'within' : error }).toEqual({ name, error: 'within' });
    }
  });

  it('at a smaller rank lose exactly the singular values that are dropped, at every site and in all', async () => {
    const parts = partsOf('qv-r8*0.7,linears-f16*0.3');
    const whole = await effect(await packSum(parts, base));
    const none = new Map<string, Float32Array>();
    for (const name of whole.keys()) none.set(name, await base.weights.readTensor(name));
    const { files, sites, relativeError } = await mergeAdapters(parts, { ...EXACT, rank: 5 }, base);
    const small = await effect(await packSum([{ label: 'merged', weight: 1, files }], base));
    let [lost, all] = [0, 0];
    for (const { site, rank, fullRank, relativeError: told } of sites) {
      const module = TINY_BASE.sites.find(({ id }) => id === site)?.module;
      const tensorOf = (tensors: ReadonlyMap<string, Float32Array>) => tensors.get(`${module}.weight`) ?? new Float32Array();
      const [before, exact, found] = [tensorOf(none), tensorOf(whole), tensorOf(small)];
      const delta = norm(exact.map((value, index) => value - (before[index] ?? 0)));
      const missing = norm(exact.map((value, index) => value - (found[index] ?? 0)));
      expect([rank, fullRank > 5]).toEqual([5, true]);
      expect(told).toBeGreaterThan(0.01);
      expect(told).toBeCloseTo(missing / delta, 5);
      lost += missing ** 2;
      all += delta ** 2;
    }
    expect(relativeError).toBeCloseTo(Math.sqrt(lost / all), 5);
    expect((await mergeAdapters(parts, { ...EXACT, rank: 16 }, base)).relativeError).toBe(0);
  });

  it('at a smaller rank are what PEFT makes with "svd"', async () => {
    const golden = JSON.parse(readFileSync(fixturePath('tiny-mixes/factors.json'), 'utf8')) as {
      svd: { modules: Record<string, { delta: readonly [number, number] }> };
    };
    const { files } = await mergeAdapters(partsOf('qv-r8*0.7,linears-f16*0.3'), { ...EXACT, rank: 5 }, base);
    const adapter = await packSum([{ label: 'merged', weight: 1, files }], base);
    const merges = mergedTensors(adapter, TINY_BASE.sites);
    for (const [module, { delta }] of Object.entries(golden.svd.modules)) {
      const site = TINY_BASE.sites.find((candidate) => candidate.module === module);
      const found = merges.get(`${module}.weight`)?.(new Float32Array((site?.inFeatures ?? 0) * (site?.outFeatures ?? 0)));
      const product = found?.reduce((sum, value, index) => sum + value * Math.sin(index + 1), 0) ?? Number.NaN;
      // PEFT's SVD runs in float32.
      expect(Math.abs(norm(found ?? new Float32Array()) - delta[0])).toBeLessThan(1e-5 * delta[0]);
      expect(Math.abs(product - delta[1])).toBeLessThan(1e-5 * delta[0]);
    }
  });

  it.each([
    ['lora-bias-linears*1,dora-qv*0.5', 'gains of DoRA and biases'],
    ['lora-bias-linears*1,embedding*0.5', 'biases beside an adapted embedding'],
  ])('are refused where PEFT has no words for the mix: %s', async (mix, words) => {
    await expect(mergeAdapters(partsOf(mix), EXACT, base)).rejects.toThrow(words);
  });
});
