// What is made for good of adapters: models with merged weights and adapters of several, served again and compared with PEFT.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bakeModel, packSum, type LoraPart } from '../../src/adapters/index.ts';
import { baseConfig, writeCompanions } from '../../src/adapters/combining/bake-files.ts';
import { llamaConfigFromHuggingFace } from '../../src/architectures/index.ts';
import { importModel, openModelPackage } from '../../src/models/index.ts';
import { readBaseFacts } from '../../src/models/base-source.ts';
import { createTokenizer } from '../../src/text/index.ts';
import { fixtureAdapter } from '../support/adapter-files.ts';
import { Api } from '../support/api.ts';
import { runLorikeet } from '../support/command-line.ts';
import { casesOf, readExpected } from '../support/expected.ts';
import { disagreements } from '../support/parity.ts';
import { realModelFolder } from '../support/real-model.ts';
import { startServer } from '../support/server.ts';
import { serverOfTests } from '../support/test-server.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { importTinyModel, type TinyModel } from '../support/tiny-model.ts';

const BASES: Readonly<Record<string, TinyModel>> = {
  'tiny-adapters': 'tiny-llama',
  'tiny-adapters-merged': 'tiny-llama',
  'tiny-adapters-untied': 'tiny-llama-untied',
};

function partsOf(folder: string, mix: string): readonly LoraPart[] {
  return mix.split(',').map((part) => {
    const [label = '', weight = '1'] = part.split('*');
    return { label, weight: Number(weight), files: fixtureAdapter(`${folder}/${label}`) };
  });
}

describe('a baked model', () => {
  it.each([
    ['tiny-adapters', 'lora-bias-linears', 'tiny-adapters'],
    ['tiny-adapters', 'dora-linears*0.6,embedding-linears-head*-0.4,rslora-attention*0.5', 'tiny-mixes'],
    ['tiny-adapters-merged', 'head', 'tiny-adapters-merged'],
    ['tiny-adapters-untied', 'bias-all-dora*0.5,bias-all-lora-bias*0.7', 'tiny-mixes'],
  ])('answers as PEFT does with the adapter, after our own import: %s/%s', async (folder, mix, expected) => {
    const modelsDir = temporaryFolder();
    const target = join(temporaryFolder(), 'baked');
    const base = BASES[folder] ?? 'tiny-llama';
    await importTinyModel(base, modelsDir);
    await using model = disposable(await openModelPackage(join(modelsDir, base)));
    const adapter = await packSum(partsOf(folder, mix), model);
    const { files } = await bakeModel(model, adapter, { folder: target, dtype: 'float32', shardBytes: 150_000 });
    expect(readdirSync(target).toSorted()).toEqual(files.toSorted());
    expect(files.filter((name) => name.endsWith('.safetensors')).length).toBeGreaterThan(1);
    await importModel({ source: target, id: 'baked', modelsDir, precisions: ['fp32'] });
    await using server = await startServer({ modelsDir, dataDir: temporaryFolder(), model: 'baked', precision: 'fp32' });
    expect(await disagreements(new Api(server.url), 'baked', casesOf(readExpected(expected), mix))).toEqual([]);
  });

  it('is not written where the architecture has no place for a tensor, and nothing is left', async () => {
    const modelsDir = temporaryFolder();
    const parent = temporaryFolder();
    await importTinyModel('tiny-llama-untied', modelsDir);
    await using model = disposable(await openModelPackage(join(modelsDir, 'tiny-llama-untied')));
    const adapter = await packSum(partsOf('tiny-adapters-untied', 'lora-bias-linears-head'), model);
    const baking = bakeModel(model, adapter, { folder: join(parent, 'baked'), dtype: null, shardBytes: 2 ** 30 });
    await expect(baking).rejects.toThrow('the adapter adds lm_head.bias, which a checkpoint of this architecture has no place for');
    expect(readdirSync(parent)).toEqual([]);
  });

  it('has the type of its base unless told otherwise, in one file where that is enough', async () => {
    const modelsDir = temporaryFolder();
    await importTinyModel('tiny-llama-untied', modelsDir);
    await using model = disposable(await openModelPackage(join(modelsDir, 'tiny-llama-untied')));
    const adapter = await packSum(partsOf('tiny-adapters-untied', 'linears-r4'), model);
    const folder = join(temporaryFolder(), 'baked');
    const baked = await bakeModel(model, adapter, { folder, dtype: null, shardBytes: 2 ** 30 });
    expect(baked).toMatchObject({ dtype: 'bfloat16', untied: false, changedTensors: 14 });
    expect(JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'))).toMatchObject({ torch_dtype: 'bfloat16', dtype: 'bfloat16' });
    expect(baked.files).toContain('model.safetensors');
    await expect(bakeModel(model, adapter, { folder, dtype: null, shardBytes: 2 ** 30 })).rejects.toThrow('holds something already');
  });

  it('of a GGUF file has a config.json and a tokenizer that say what the file says', async () => {
    await using model = disposable(await openModelPackage(await realModelFolder()));
    const folder = temporaryFolder();
    const config = await baseConfig(model);
    expect(llamaConfigFromHuggingFace(config)).toEqual(model.config);
    await writeCompanions(model, folder, config, { dtype: 'float32', untied: false, attentionBias: false, mlpBias: false });
    const facts = await readBaseFacts('huggingface', folder);
    expect({ ...facts, tokenizer: null }).toEqual({
      config: model.config,
      chatTemplate: model.chatTemplate,
      stopTokenIds: model.description.stopTokenIds,
      tokenizer: null,
    });
    const [ours, again] = [createTokenizer(model.tokenizer), createTokenizer(facts.tokenizer)];
    for (const text of ['Hello world', ' größer 12345\n\n\tx', '<|im_start|>user\nhi<|im_end|>'])
      expect(again.encode(text)).toEqual(ours.encode(text));
    expect([again.bosTokenId, again.eosTokenId, again.addBos]).toEqual([ours.bosTokenId, ours.eosTokenId, ours.addBos]);
  });
});

describe('the command line', () => {
  const modelsDir = temporaryFolder();
  const dataDir = temporaryFolder();
  const running = serverOfTests(async () => {
    await importTinyModel('tiny-llama', modelsDir);
    return { modelsDir, dataDir, model: 'tiny-llama', precision: 'fp32' };
  });
  const run = async (...words: readonly string[]): Promise<string> =>
    await runLorikeet(['adapters', ...words, '--url', running.api.url, '--models-dir', modelsDir, '--model', 'tiny-llama'], dataDir);

  it('merges adapters of the server and of folders, publishes the result, and bakes it', async () => {
    const mix = 'qv-r8*0.7,linears-r4-patterns*0.3';
    const answers = casesOf(readExpected('tiny-mixes'), mix);
    await running.api.upload('qv', fixtureAdapter('tiny-adapters/qv-r8'));
    const local = join(dataDir, 'local');
    mkdirSync(local);
    const { config, tensors } = fixtureAdapter('tiny-adapters/linears-r4-patterns');
    writeFileSync(join(local, 'adapter_config.json'), config);
    writeFileSync(join(local, 'adapter_model.safetensors'), tensors);
    expect(await run('merge', 'qv@1*0.7', './local*0.3', '--out', 'both')).toContain('merged qv@1*0.7 + ./local*0.3 into both@1');
    expect(await disagreements(running.api, 'both', answers)).toEqual([]);
    const compressed = JSON.parse(await run('merge', 'both', '--out', './small', '--rank', '4', '--json')) as { relative_error: number };
    expect(compressed).toMatchObject({ rank: 4 });
    expect(compressed.relative_error).toBeGreaterThan(0);
    expect(readdirSync(join(dataDir, 'small'))).toEqual(['adapter_config.json', 'adapter_model.safetensors']);
    expect(await run('bake', 'both', '--out', './model')).toContain('of float32, 14 tensors changed');
    await importModel({ source: join(dataDir, 'model'), id: 'baked', modelsDir, precisions: ['fp32'] });
    await using server = await startServer({ modelsDir, dataDir: temporaryFolder(), model: 'baked', precision: 'fp32' });
    expect(await disagreements(new Api(server.url), 'baked', answers)).toEqual([]);
  });
});

function disposable<T extends { close(): Promise<void> }>(value: T): T & AsyncDisposable {
  return { ...value, [Symbol.asyncDispose]: () => value.close() };
}
