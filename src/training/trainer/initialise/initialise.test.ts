import { Matrix, SingularValueDecomposition } from 'ml-matrix';
import { afterAll, describe, expect, it } from 'vitest';
import { TINY_BASE, tinyWeights } from '../../../../test/support/tiny-base.ts';
import { createEnvironment } from '../../../runtime/index.ts';
import { resolveHyperparameters } from '../../defaults.ts';
import type { LoraSpec } from '../../hyperparameters.ts';
import type { Factors, InitialValues } from '../adapter/trained-site.ts';
import { Products } from '../algebra/products.ts';
import { randomStream } from '../random.ts';
import { resolveSites, type TargetSite } from '../sites.ts';
import { initialValues } from './initial-values.ts';

const environment = createEnvironment({ threadCount: 1, allowSpinning: false });
const products = new Products(environment);
afterAll(() => {
  products[Symbol.dispose]();
  environment.dispose();
});
const weights = tinyWeights();
const ALL = ['embed_tokens', 'all-linear', 'lm_head'];
/** The head's gradient is not computed. */
const LINEARS = ['embed_tokens', 'all-linear'];

/** Stands for dL/dW of a site: few strong directions, as gradients have. */
function gradientOf({ site }: TargetSite): Matrix {
  const side = (rows: number, name: string): Matrix => {
    const values = new Float64Array(rows * 24);
    randomStream(8, `${name} ${site.id}`).fillNormal(values, 1);
    return Matrix.from1DArray(rows, 24, [...values]);
  };
  const scales = Array.from({ length: 24 }, (_, index) => 0.02 / (1 + index));
  return side(site.outFeatures, 'out').mulRowVector(scales).mmul(side(site.inFeatures, 'in').transpose());
}

async function initialised(lora: Partial<LoraSpec>, seed = 1): Promise<{ lora: LoraSpec; values: readonly InitialValues[] }> {
  const hyperparameters = resolveHyperparameters({ lora: { r: 4, targetModules: ALL, ...lora } }, seed, 256);
  const targets = resolveSites(hyperparameters.lora, TINY_BASE);
  const values = await initialValues(hyperparameters, targets, {
    weights,
    products,
    turn: async () => undefined,
    gradients: (sites, take) => {
      for (const target of targets) {
        if (sites.includes(target.site.id)) take(target.site.id, Float32Array.from(gradientOf(target).to1DArray()));
      }
    },
  });
  return { lora: hyperparameters.lora, values };
}

function matrix(values: Float32Array, columns: number): Matrix {
  return Matrix.from1DArray(values.length / columns, columns, [...values]);
}

function asMatrices({ target, a, b }: Factors & { readonly target: TargetSite }): { a: Matrix; b: Matrix } {
  return { a: matrix(a, target.site.inFeatures), b: matrix(b, target.rank) };
}

function deviation(values: Float32Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
}

describe.each(['default', 'gaussian'] as const)('the init %s', (init) => {
  it('changes nothing, has the spread of its distribution, and depends on the seed alone', async () => {
    const { values } = await initialised({ init });
    expect(values).toHaveLength(16);
    for (const { target, a, b, changesBase, magnitude } of values) {
      const { kind, inFeatures } = target.site;
      const [zero, drawn] = kind === 'embedding' ? [a, b] : [b, a];
      expect(zero.every((value) => value === 0)).toBe(true);
      expect([changesBase, magnitude]).toEqual([false, null]);
      // A uniform distribution's deviation is its bound over √3.
      const spread = init === 'gaussian' ? 1 / 4 : 1 / Math.sqrt(3 * inFeatures);
      expect(deviation(drawn) / (kind === 'embedding' ? 1 : spread)).toBeCloseTo(1, 0);
      const largest = drawn.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      expect(kind === 'embedding' || init === 'gaussian' || largest <= Math.fround(1 / Math.sqrt(inFeatures))).toBe(true);
    }
    expect(await initialised({ init })).toEqual(await initialised({ init }));
    expect((await initialised({ init }, 2)).values[1]?.a).not.toEqual(values[1]?.a);
    expect(values[1]?.a.slice(0, 8)).not.toEqual(values[8]?.a.slice(0, 8));
  });
});

describe('PiSSA', () => {
  it("takes the weight's principal part: s·BA is the best approximation of its rank, over its strongest directions", async () => {
    const { values } = await initialised({ init: 'pissa', alpha: 12 });
    for (const site of values.filter(({ changesBase }) => changesBase)) {
      const { a, b } = asMatrices(site);
      const weight = matrix(await weights.readWeight(site.target.site.module), site.target.site.inFeatures);
      const svd = new SingularValueDecomposition(weight, { autoTranspose: true });
      const tail = Math.hypot(...svd.diagonal.slice(4));
      expect(weight.clone().sub(b.mmul(a).mul(site.target.scale)).norm() / tail).toBeCloseTo(1, 5);
      // Balanced: AAᵀ = BᵀB = S / s.
      const gram = a.mmul(a.transpose());
      expect(b.transpose().mmul(b).sub(gram).norm()).toBeLessThan(1e-4 * gram.norm());
      expect(gram.get(0, 0)).toBeCloseTo((svd.diagonal[0] ?? 0) / 3, 3);
    }
    expect(values.filter(({ changesBase }) => !changesBase).map(({ target }) => target.site.id)).toEqual(['embed']);
  });
});

describe('LoRA-GA', () => {
  it('takes disjoint singular directions of the gradient, all of one length', async () => {
    const { values } = await initialised({ init: 'lora_ga', targetModules: LINEARS });
    for (const site of values.filter(({ changesBase }) => changesBase)) {
      const { a, b } = asMatrices(site);
      const length = Math.sqrt(site.target.site.outFeatures) / 16;
      const svd = new SingularValueDecomposition(gradientOf(site.target), { autoTranspose: true });
      const right = svd.rightSingularVectors.subMatrix(0, a.columns - 1, 0, 3);
      const left = svd.leftSingularVectors.subMatrix(0, b.rows - 1, 4, 7);
      // Projections onto the wanted subspaces keep all of A and B.
      expect(a.mmul(right).mmul(right.transpose()).sub(a).norm()).toBeLessThan(1e-3 * a.norm());
      expect(left.mmul(left.transpose()).mmul(b).sub(b).norm()).toBeLessThan(1e-3 * b.norm());
      expect(a.mmul(a.transpose()).sub(Matrix.eye(4).mul(length)).norm()).toBeLessThan(1e-4 * length);
      expect(b.transpose().mmul(b).sub(Matrix.eye(4).mul(length)).norm()).toBeLessThan(1e-4 * length);
    }
  });

  it('makes the first step of plain gradient descent closer to that of full fine-tuning than the default does', async () => {
    const [ga, plain] = [
      await initialised({ init: 'lora_ga', targetModules: LINEARS }),
      await initialised({ init: 'default', useRslora: true, targetModules: LINEARS }),
    ];
    for (const [index, site] of ga.values.entries()) {
      const other = plain.values[index];
      if (!site.changesBase || other === undefined) continue;
      const gradient = gradientOf(site.target);
      expect(distanceFromFull(gradient, site)).toBeLessThan(0.6 * distanceFromFull(gradient, other));
    }
  });

  it('needs twice its rank of directions', async () => {
    await expect(initialised({ init: 'lora_ga', r: 17, targetModules: ['v_proj'] })).rejects.toThrow(
      'lora.init lora_ga: got rank 17 for model.layers.0.self_attn.v_proj [32, 64], expected at most 16',
    );
    await expect(initialised({ init: 'lora_ga' })).rejects.toThrow('got the target lm_head, expected linears of the layers');
    await expect(initialised({ init: 'pissa', r: 33, targetModules: ['v_proj'] })).rejects.toThrow('expected at most 32');
  });
});

/** min over zeta of ‖BBᵀG + GAᵀA − zeta·G‖ / ‖BBᵀG + GAᵀA‖ (arXiv 2407.05000, section 3.2): what the first step's direction has beside the full one's. */
function distanceFromFull(gradient: Matrix, site: InitialValues): number {
  const { a, b } = asMatrices(site);
  const step = b.mmul(b.transpose().mmul(gradient)).add(gradient.mmul(a.transpose()).mmul(a));
  const along = step.dot(gradient) / (step.norm() * gradient.norm());
  return Math.sqrt(1 - along ** 2);
}

describe("DoRA's magnitude", () => {
  it("is the norm of each of the weight's outputs", async () => {
    const { values } = await initialised({ useDora: true, init: 'pissa' });
    for (const { target, magnitude } of values) {
      const { module, kind, inFeatures } = target.site;
      const weight = matrix(await weights.readWeight(module), kind === 'embedding' ? target.site.outFeatures : inFeatures);
      const rows = (kind === 'embedding' ? weight.transpose() : weight).to2DArray();
      expect(magnitude).toHaveLength(rows.length);
      for (const [out, row] of rows.entries()) expect(magnitude?.[out]).toBeCloseTo(Math.hypot(...row), 5);
    }
  });
});
