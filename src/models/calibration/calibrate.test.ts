import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fixturePath } from '../../../test/support/repository.ts';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { type Calibrator, ensureCompiled, importModel, openCompiled, openModelPackage, prepareForms, readCalibration } from '../index.ts';
import { groupWeights, rowKernels } from '../row-wise/row-wise-groups.ts';
import { thisMachine } from '../serving-forms.ts';
import { calibrate } from './index.ts';

const folder = temporaryFolder();
const calibrateHere: Calibrator = async (modelFolder, onProgress) => {
  await calibrate(await openModelPackage(modelFolder), { threadCount: 1, ...(onProgress && { onProgress }) });
};

function importTiny(id: string) {
  return importModel({ source: fixturePath('tiny-llama'), id, modelsDir: join(folder, 'models') });
}

describe('calibrate', () => {
  it('sees every projection and every layer of the cache, with and without a compiled float32 form', async () => {
    const model = await importTiny('tiny');
    const alone = await calibrate(model, { threadCount: 1, levels: 'paired' });
    expect([...alone.inputMax.keys()]).toEqual(
      [0, 1].flatMap((layer) => ['qkv', 'o', 'gate_up', 'down'].map((name) => `layers.${layer}.${name}`)),
    );
    const { kvHeadCount, headSize, layerCount } = model.config;
    for (const maxima of [alone.keyMax, alone.valueMax])
      expect(maxima.map(({ length }) => length)).toEqual(Array(layerCount).fill(kvHeadCount * headSize));
    const all = [...alone.inputMax.values(), ...alone.keyMax, ...alone.valueMax];
    expect(all.every((values) => values.every((value) => value > 0 && Number.isFinite(value)))).toBe(true);
    // Some groups of random weights bear one product.
    expect(alone.oneProduct.length).toBeGreaterThan(0);
    expect([...groupWeights(model.config).keys()]).toEqual(expect.arrayContaining([...alone.oneProduct]));
    expect([...alone.ranges.keys()]).toEqual([...alone.inputMax.keys()].filter((group) => /qkv|gate_up/.test(group)));
    for (const range of alone.ranges.values()) expect(range).toBeGreaterThan(0);
    await ensureCompiled(model, 'fp32');
    expect(await calibrate(model, { threadCount: 1, levels: 'paired' })).toEqual(alone);
    expect(readdirSync(model.folder).toSorted()).toEqual(['calibration.safetensors', 'compiled', 'model.json', 'source']);
  });
});

describe('prepareForms', () => {
  const forms = { decode: 'int8', second: null, kv: 'int8' } as const;

  it('calibrates once for an int8 cache, and again when the calibration is lost', async () => {
    const model = await importTiny('cached');
    let runs = 0;
    const options = { calibrate: (...args: Parameters<Calibrator>) => (runs++, calibrateHere(...args)) };
    await prepareForms(model, forms, options);
    await prepareForms(model, forms, options);
    expect(runs).toBe(1);
    expect((await openCompiled(model.folder, 'int8', 'int8'))?.kvScales).toHaveLength(2);
    rmSync(join(model.folder, 'calibration.safetensors'));
    expect(await openCompiled(model.folder, 'int8', 'int8')).toBeNull();
    await prepareForms(model, forms, options);
    expect(runs).toBe(2);
    expect(await readCalibration(model.folder, model.record.digest)).not.toBeNull();
  });

  it('calibrates for w8a8, whose form records the groups that were chosen', async () => {
    const model = await importTiny('row-wise');
    await expect(ensureCompiled(model, 'w8a8')).rejects.toThrow('not calibrated');
    await prepareForms(model, { decode: 'w8a8', second: null, kv: 'fp32' }, { calibrate: calibrateHere });
    const { precision, rowWise } = JSON.parse(readFileSync(join(model.folder, 'compiled', 'w8a8', 'manifest.json'), 'utf8')) as {
      precision: string;
      rowWise: { products: Record<string, number> };
    };
    expect(precision).toBe('w8a8');
    expect(Object.values(rowWise.products)).toContain(1);
    expect((await openCompiled(model.folder, 'w8a8', 'int8'))?.graphs.linear.loraGroups).toHaveLength(8);
  });

  it('calibrates again where the products that were tried are those of another kind of processor', async () => {
    const model = await importTiny('moved');
    const others = rowKernels(thisMachine()).levels === 'full' ? 'paired' : 'full';
    await calibrate(model, { threadCount: 1, levels: others });
    await expect(ensureCompiled(model, 'w8a8')).rejects.toThrow('not calibrated for this processor');
    await prepareForms(model, { decode: 'int8', second: 'w8a8', kv: 'fp32' }, { calibrate: calibrateHere });
    expect((await readCalibration(model.folder, model.record.digest))?.levels).toBe(rowKernels(thisMachine()).levels);
    // A cache's scales are the same for all processors.
    await calibrate(model, { threadCount: 1, levels: others });
    await prepareForms(model, forms, { calibrate: () => Promise.reject(new Error('not wanted')) });
  });

  it('makes a form again whose products are not those of its name or of this processor', async () => {
    const model = await importTiny('other-products');
    await ensureCompiled(model, 'int8');
    const path = join(model.folder, 'compiled', 'int8', 'manifest.json');
    const manifest = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
    for (const levels of ['full', 'paired']) {
      writeFileSync(path, JSON.stringify({ ...manifest, rowWise: { levels, products: { head: 2 } } }));
      expect(await openCompiled(model.folder, 'int8', 'fp32')).toBeNull();
    }
    await ensureCompiled(model, 'int8');
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(manifest);
  });

  it('does not calibrate for a float32 cache', async () => {
    const model = await importTiny('plain');
    await prepareForms(model, { ...forms, kv: 'fp32' }, { calibrate: () => Promise.reject(new Error('not wanted')) });
    expect(existsSync(join(model.folder, 'calibration.safetensors'))).toBe(false);
    expect((await openCompiled(model.folder, 'int8', 'fp32'))?.kvScales).toBeNull();
  });
});
