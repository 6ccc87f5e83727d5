import { cpSync, existsSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fixturePath } from '../../test/support/repository.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { ensureCompiled, importModel, listModels, openModelPackage } from './index.ts';

const folder = temporaryFolder();
const modelsDir = join(folder, 'models');

/** A copy of the tiny model that a test may break. */
function source(name: string): string {
  const copy = join(folder, name);
  cpSync(fixturePath('tiny-llama'), copy, { recursive: true });
  return copy;
}

function change(path: string, edit: (value: Record<string, unknown>) => void): void {
  const value = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  edit(value);
  writeFileSync(path, JSON.stringify(value));
}

describe('importModel', () => {
  it('keeps the source, describes the model and lists it', async () => {
    const model = await importModel({ source: source('whole'), id: 'whole', modelsDir });
    expect(model.description).toMatchObject({ id: 'whole', family: 'llama', hiddenSize: 64, layerCount: 2, tiedHead: true });
    rmSync(join(folder, 'whole'), { recursive: true });
    const weight = await (await openModelPackage(model.folder)).weights.readWeight('model.layers.0.self_attn.q_proj');
    expect(weight.length).toBe(64 * 64);
    expect((await listModels(modelsDir)).map(({ id }) => id)).toContain('whole');
  });

  it('gives the same bytes the same identity under any id', async () => {
    const [one, other] = [
      await importModel({ source: source('a'), id: 'one', modelsDir }),
      await importModel({ source: source('b'), id: 'other', modelsDir }),
    ];
    expect(one.description.digest).toBe(other.description.digest);
  });

  it.each([
    ['no-config', (path: string) => rmSync(join(path, 'config.json')), 'config.json'],
    ['broken-config', (path: string) => writeFileSync(join(path, 'config.json'), '{'), 'config.json is not valid JSON'],
    ['another-family', (path: string) => change(join(path, 'config.json'), (config) => (config['model_type'] = 'gpt2')), 'gpt2'],
    ['more-layers', (path: string) => change(join(path, 'config.json'), (config) => (config['num_hidden_layers'] = 3)), 'lacks 9 tensors'],
    ['small-vocabulary', (path: string) => change(join(path, 'config.json'), (config) => (config['vocab_size'] = 300)), 'tokens'],
    ['no-tokenizer', (path: string) => rmSync(join(path, 'tokenizer.json')), 'tokenizer.json'],
    [
      'other-tokenizer',
      (path: string) => change(join(path, 'tokenizer.json'), (json) => (json['model'] = { type: 'Unigram', vocab: [] })),
      'Unigram',
    ],
    ['cut-weights', (path: string) => truncateSync(join(path, 'model.safetensors'), 1000), 'cannot be imported'],
  ])('refuses %s with what is wrong and leaves nothing behind', async (name, damage, words) => {
    const path = source(name);
    damage(path);
    await expect(importModel({ source: path, id: name, modelsDir })).rejects.toThrow(words);
    expect(existsSync(join(modelsDir, name))).toBe(false);
    expect(readdirSync(modelsDir).filter((entry) => entry.startsWith('.import'))).toEqual([]);
  });

  it('refuses an id that could not name a model in a request', async () => {
    await expect(importModel({ source: source('bad-id'), id: 'Not/A-Name', modelsDir })).rejects.toThrow('Not/A-Name');
  });
});

describe('a compiled form', () => {
  it('is made once, and again when a file of it is cut off or was made by another version', async () => {
    const model = await importModel({ source: source('compiled'), id: 'compiled', modelsDir });
    let compilations = 0;
    const ensure = () => ensureCompiled(model, 'fp32', (done, total) => (compilations += done === total ? 1 : 0));
    const { weightsPath } = await ensure();
    await ensure();
    expect(compilations).toBe(1);
    const whole = readFileSync(weightsPath);
    truncateSync(weightsPath, statSync(weightsPath).size - 64);
    await ensure();
    expect(compilations).toBe(2);
    expect(readFileSync(weightsPath).equals(whole)).toBe(true);
    change(join(weightsPath, '..', 'manifest.json'), (manifest) => (manifest['compilerVersion'] = 0));
    await ensure();
    expect(compilations).toBe(3);
  });
});
