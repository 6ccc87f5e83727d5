import { readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { fixturePath } from '../../../test/support/repository.ts';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { decodeOnnxModel } from '../../formats/index.ts';
import { ensureCompiled } from '../compile-model.ts';
import type { CompiledModel } from '../compiled-model.ts';
import { importModel } from '../import-model.ts';
import type { ModelPackage } from '../model-package.ts';
import type { TensorMerge } from './merged-checkpoint.ts';
import { makeMergedForm, type MergedForm, type MergeTarget, openMergedForm } from './merged-form.ts';

const QUERY = 'model.layers.0.self_attn.q_proj.weight';
const twice: TensorMerge = (base) => base.map((value) => 2 * value);

const folder = temporaryFolder();
let model: ModelPackage;
let count = 0;

beforeAll(async () => {
  model = await importModel({ source: fixturePath('tiny-llama'), id: 'tiny', modelsDir: join(folder, 'models') });
});

interface Made {
  readonly folder: string;
  readonly base: CompiledModel;
  readonly form: MergedForm;
}

async function make(precision: 'fp32' | 'int8' | 'int4', merges: MergeTarget['merges'], changes: Partial<MergeTarget> = {}): Promise<Made> {
  const base = await ensureCompiled(model, precision);
  count += 1;
  const target = join(folder, `form-${count}`);
  await makeMergedForm(model, { precision, kv: 'fp32', merges, ...changes }, target);
  const form = await openMergedForm(target, base);
  if (!form) throw new Error('the form is not there');
  return { folder: target, base, form };
}

/** Bits of each quantised projection of a layer, by group. */
function bitsOf({ graphPath }: MergedForm): Readonly<Record<string, number>> {
  const { graph } = decodeOnnxModel(readFileSync(graphPath));
  return Object.fromEntries(
    graph.nodes
      .filter(({ op }) => op === 'MatMulNBits')
      .map(({ name, attributes }) => [
        name.split('/').slice(0, 3).join('/'),
        Number(attributes.find((attribute) => attribute.name === 'bits')?.value),
      ]),
  );
}

describe('a merged form', () => {
  it('has weights of its own for what the adapter changes alone, and shares the rest', async () => {
    const { base, form } = await make('int8', new Map([[QUERY, twice]]));
    const own = base.graphs.none.weightNames.filter((name) => !form.sharedNames.includes(name));
    expect(own.length).toBeGreaterThan(0);
    expect(own.every((name) => name.includes('layers.0.self_attn'))).toBe(true);
    // q, k and v are one matrix, 8 bits a value with a scale and a zero for each block, or for each output where products are in integers.
    const values = model.config.hiddenSize * (model.config.headCount + 2 * model.config.kvHeadCount) * model.config.headSize;
    expect(form.bytes).toBeGreaterThanOrEqual(values);
    expect(form.bytes).toBeLessThan(values * (1 + 5 / 32) + 4 * 64);
  });

  it('takes int8 blocks where four bits would swallow the change, and four everywhere else', async () => {
    const { form } = await make('int4', new Map([[QUERY, twice]]));
    expect(bitsOf(form)).toMatchObject({ 'layers.0/attention/qkv': 8, 'layers.1/attention/qkv': 4, 'layers.0/attention/o': 4 });
    const same = await make('int4', new Map([[QUERY, twice]]), { changedPrecision: 'base' });
    expect(bitsOf(same.form)).toMatchObject({ 'layers.0/attention/qkv': 4 });
  });

  it('of a tied base keeps the head when the embedding alone changes, and the embedding when the head alone does', async () => {
    const weight = 'model.embed_tokens.weight';
    for (const changed of [weight, 'lm_head.weight']) {
      const { form } = await make('fp32', new Map([[changed, twice]]));
      // One of the two is its own: [vocabulary, hidden] in float32.
      expect(form.bytes).toBe(model.config.vocabularySize * model.config.hiddenSize * 4);
    }
    const { form } = await make(
      'fp32',
      new Map([
        [weight, twice],
        ['lm_head.weight', twice],
      ]),
    );
    expect(form.bytes).toBe(2 * model.config.vocabularySize * model.config.hiddenSize * 4);
  });

  it('is not opened when it is cut off, of another compiler, or of another form of the base', async () => {
    const made = await make('int8', new Map([[QUERY, twice]]));
    expect(await openMergedForm(made.folder, await ensureCompiled(model, 'fp32'))).toBeNull();
    const manifestPath = join(made.folder, 'manifest.json');
    const manifest = readFileSync(manifestPath, 'utf8');
    writeFileSync(manifestPath, manifest.replace(/"compilerVersion":\d+/, '"compilerVersion":0'));
    expect(await openMergedForm(made.folder, made.base)).toBeNull();
    writeFileSync(manifestPath, manifest);
    expect(await openMergedForm(made.folder, made.base)).not.toBeNull();
    truncateSync(join(made.folder, 'weights.bin'), 10);
    expect(await openMergedForm(made.folder, made.base)).toBeNull();
  });

  it('is whole or absent: a merge that gives no finite number leaves nothing, and says what is wrong', async () => {
    await ensureCompiled(model, 'int8');
    const target = join(folder, 'broken');
    const merges = new Map([[QUERY, (base: Float32Array) => base.map((value, index) => (index === 3 ? Infinity : value))]]);
    await expect(makeMergedForm(model, { precision: 'int8', kv: 'fp32', merges }, target)).rejects.toMatchObject({
      code: 'generation_failed',
      message: `value 3 of its merged ${QUERY} is Infinity, expected a finite number`,
    });
    expect(readdirSync(folder).filter((name) => name.startsWith('broken'))).toEqual([]);
  });
});
