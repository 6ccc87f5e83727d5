import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Matrix, SingularValueDecomposition } from 'ml-matrix';
import { afterAll, describe, expect, it } from 'vitest';
import { fixturePath } from '../../../../test/support/repository.ts';
import { temporaryFolder } from '../../../../test/support/temporary-folder.ts';
import { TINY_BASE } from '../../../../test/support/tiny-base.ts';
import { createEnvironment } from '../../../runtime/index.ts';
import { resolveHyperparameters } from '../../defaults.ts';
import type { LoraSpec } from '../../hyperparameters.ts';
import { Products } from '../algebra/products.ts';
import { randomStream } from '../random.ts';
import { resolveSites } from '../sites.ts';
import { publishedAdapter, type TrainedValues } from './publish.ts';
import { readAdapter } from './read-adapter.ts';
import type { Factors, SiteValues } from './trained-site.ts';
import { adapterFiles } from './write-adapter.ts';

const environment = createEnvironment({ threadCount: 1, allowSpinning: false });
const products = new Products(environment);
afterAll(() => {
  products[Symbol.dispose]();
  environment.dispose();
});
const folder = temporaryFolder();

function loraOf(lora: Partial<LoraSpec>): LoraSpec {
  return resolveHyperparameters({ lora }, 1, 256).lora;
}

function random(length: number, purpose: string): Float32Array {
  const values = new Float32Array(length);
  randomStream(5, purpose).fillNormal(values, 1);
  return values;
}

/** Random values for every trained place; linears and the head with an origin when `changed`. */
function trainedValues(lora: LoraSpec, changed: boolean): readonly TrainedValues[] {
  return resolveSites(lora, TINY_BASE).map((target) => {
    const { site, rank } = target;
    const factors = (purpose: string): Factors => ({
      a: random(rank * site.inFeatures, `${purpose} a ${site.id}`),
      b: random(rank * site.outFeatures, `${purpose} b ${site.id}`),
    });
    return {
      target,
      ...factors('now'),
      magnitude: lora.useDora ? random(site.outFeatures, `magnitude ${site.id}`) : null,
      origin: changed && site.kind !== 'embedding' ? factors('then') : null,
    };
  });
}

function product({ a, b }: Factors, { rank, scale }: { rank: number; scale: number }): Matrix {
  const matrix = (values: Float32Array, columns: number): Matrix =>
    new Matrix(Array.from({ length: values.length / columns }, (_, row) => [...values.subarray(row * columns, (row + 1) * columns)]));
  return matrix(b, rank)
    .mmul(matrix(a, a.length / rank))
    .mul(scale);
}

/** s·(BA − B0A0). */
function change({ target, a, b, origin }: TrainedValues): Matrix {
  const now = product({ a, b }, target);
  return origin === null ? now : now.sub(product(origin, target));
}

function saved(name: string, files: { readonly config: Uint8Array; readonly tensors: Uint8Array }): string {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, 'adapter_config.json'), files.config);
  writeFileSync(join(path, 'adapter_model.safetensors'), files.tensors);
  return path;
}

const ALL = ['embed_tokens', 'all-linear', 'lm_head'];

describe.each<[string, Partial<LoraSpec>]>([
  ['plain LoRA', { r: 3, alpha: 5 }],
  ['rsLoRA with rank patterns', { r: 3, useRslora: true, rankPattern: { 'layers.1.self_attn.q_proj': 2, v_proj: 1 } }],
  ['DoRA', { r: 2, useDora: true }],
])('a published adapter of %s', (name, spec) => {
  const lora = loraOf({ ...spec, targetModules: ALL });

  it('is read back as it was', async () => {
    const trained = trainedValues(lora, false);
    const path = saved(name, adapterFiles(publishedAdapter(lora, trained, null), 'tiny'));
    const read = await readAdapter(path, lora, resolveSites(lora, TINY_BASE));
    expect(read).toEqual(trained.map(({ target, a, b, magnitude }): SiteValues => ({ target, a, b, magnitude })));
  });

  it('of an init that changes the base has twice the rank, and the same change of the base', async () => {
    const trained = trainedValues(lora, true);
    const published = publishedAdapter(lora, trained, null);
    expect(published.lora.r).toBe(2 * lora.r);
    const path = saved(`${name} doubled`, adapterFiles(published, 'tiny'));
    const doubledLora = { ...lora, ...published.lora };
    const read = await readAdapter(path, doubledLora, resolveSites(doubledLora, TINY_BASE));
    for (const [index, values] of read.entries()) {
      const wanted = change(trained[index] as TrainedValues);
      expect(product(values, values.target).sub(wanted).norm()).toBeLessThan(1e-6 * wanted.norm());
    }
  });
});

describe('recompression', () => {
  const lora = loraOf({ r: 4, targetModules: ['q_proj', 'k_proj', 'embed_tokens'] });
  const trained = trainedValues(lora, true);

  it('to a rank that holds everything loses nothing', () => {
    const { sites, compressionError, lora: published } = publishedAdapter(lora, trained, { rank: 9, products });
    expect(compressionError).toBeLessThan(1e-6);
    expect(published).toMatchObject({ r: 9, alpha: 9, useRslora: false, rankPattern: {} });
    for (const [index, site] of sites.entries()) {
      const wanted = change(trained[index] as TrainedValues);
      expect(product(site, site.target).sub(wanted).norm()).toBeLessThan(1e-6 * wanted.norm());
    }
  });

  it('to a lower rank is the best approximation, and says its error', () => {
    const { sites, compressionError } = publishedAdapter(lora, trained, { rank: 3, products });
    let [error, whole] = [0, 0];
    for (const [index, site] of sites.entries()) {
      const wanted = change(trained[index] as TrainedValues);
      error += product(site, site.target).sub(wanted).norm() ** 2;
      whole += wanted.norm() ** 2;
    }
    expect(Math.sqrt(error / whole)).toBeCloseTo(compressionError ?? -1, 6);
    expect(compressionError).toBeGreaterThan(0.3);
    // No factors of rank 3 are nearer (Eckart and Young): the error is what the singular values beyond the third make.
    const beyond = trained.flatMap((site) => new SingularValueDecomposition(change(site), { autoTranspose: true }).diagonal.slice(3));
    expect(error).toBeCloseTo(
      beyond.reduce((sum, value) => sum + value * value, 0),
      1,
    );
  });

  it('of an adapter without an origin is not needed', () => {
    const plain = trainedValues(lora, false);
    expect(publishedAdapter(lora, plain, { rank: 2, products })).toEqual({ lora, sites: plain, compressionError: null });
  });
});

describe('the files', () => {
  it('have equal bytes for equal values', () => {
    const lora = loraOf({ r: 2 });
    const bytes = () => adapterFiles(publishedAdapter(lora, trainedValues(lora, true), null), 'tiny');
    expect(bytes()).toEqual(bytes());
  });
});

describe('an adapter to continue from', () => {
  const lora = loraOf({ r: 8, alpha: 16 });
  const read = (spec: Partial<LoraSpec>, name = 'qv-r8'): Promise<unknown> => {
    const wanted = { ...lora, ...spec };
    return readAdapter(fixturePath(`tiny-adapters/${name}`), wanted, resolveSites(wanted, TINY_BASE));
  };

  it('is read as PEFT saved it', async () => {
    expect(await read({})).toHaveLength(4);
  });

  it.each<[string, Partial<LoraSpec>, string, RegExp]>([
    [
      'another rank',
      { r: 4, alpha: 8 },
      'qv-r8',
      /lora.r: the adapter to continue from has rank 8 in model.layers.0.self_attn.q_proj, the hyperparameters say 4/,
    ],
    ['another alpha', { alpha: 32 }, 'qv-r8', /lora.alpha: .* the scale 2 \(alpha 16\) .* the scale 4/],
    [
      'fewer targets',
      { targetModules: ['q_proj'] },
      'qv-r8',
      /lora.target_modules: .* has model.layers.0.self_attn.v_proj, the hyperparameters say q_proj/,
    ],
    ['more targets', { targetModules: ['q_proj', 'v_proj', 'k_proj'] }, 'qv-r8', /has no model.layers.0.self_attn.k_proj/],
    ['DoRA', { useDora: true }, 'qv-r8', /lora.use_dora: .* has false, the hyperparameters say true/],
    ['an init that changes the base', { init: 'pissa' }, 'qv-r8', /lora.init: .* the hyperparameters say pissa/],
    ['biases of the base', { targetModules: ['q_proj', 'v_proj'] }, 'lora-bias-linears', /training continues plain LoRA and DoRA only/],
  ])('is refused for %s', async (_, spec, name, message) => {
    await expect(read(spec, name)).rejects.toThrow(message);
  });
});
