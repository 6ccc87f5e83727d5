// Loading by reference and by path, unloading, and what leads out of the import folder.
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execFileSync } from 'node:child_process';
import { beforeEach, describe, expect, it } from 'vitest';
import { refusalOf } from '../../test/support/refusal.ts';
import { openTinyRegistry, tinyAdapter, uploadFiles } from '../../test/support/registry-harness.ts';
import { fixturePath } from '../../test/support/repository.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { SAMPLES_TENANT, type AdapterName, type TenantId } from '../core/index.ts';
import { openMemoryStorage, type Storage } from '../storage/index.ts';
import type { AdapterRegistry } from './port.ts';

const ACME = 'acme' as TenantId;
const GLOBEX = 'globex' as TenantId;
const POET = 'poet' as AdapterName;
const FRESH = 'fresh' as AdapterName;

const root = temporaryFolder();
let folderCount = 0;
let outside: string;
let importFolder: string;
let storage: Storage;
let registry: AdapterRegistry;

function writeAdapter(folder: string, seed: number): void {
  mkdirSync(folder, { recursive: true });
  const { config, tensors } = tinyAdapter(seed);
  writeFileSync(join(folder, 'adapter_config.json'), config);
  writeFileSync(join(folder, 'adapter_model.safetensors'), tensors);
}

beforeEach(async () => {
  folderCount += 1;
  outside = join(root, String(folderCount));
  importFolder = join(outside, 'import');
  mkdirSync(importFolder, { recursive: true });
  storage = openMemoryStorage(join(outside, 'blobs'));
  registry = await openTinyRegistry(storage, { importFolder });
});

const load = (source: string, inPlace = false, name = FRESH) => registry.load(ACME, name, source, { inPlace });
const refusedLoad = (source: string) => refusalOf(() => load(source));

describe('loading a reference', () => {
  it('shares the bytes, survives the source, and is found by the name at once', async () => {
    const source = await uploadFiles(registry, { tenant: ACME, name: POET }, tinyAdapter(1));
    const blobs = storage.blobs.list().length;
    const { version, created } = await load('poet@1');
    expect([version.name, version.version, version.digest, created]).toEqual([FRESH, 1, source.version.digest, true]);
    expect(storage.blobs.list()).toHaveLength(blobs);
    registry.remove(ACME, POET);
    await registry.settled();
    expect(registry.lease(ACME, 'fresh').version.digest).toBe(source.version.digest);
    expect(readFileSync(registry.lease(ACME, 'fresh').packedPath).length).toBeGreaterThan(0);
  });

  it('of the name itself moves its pointer', async () => {
    await uploadFiles(registry, { tenant: ACME, name: POET }, tinyAdapter(1));
    await uploadFiles(registry, { tenant: ACME, name: POET }, tinyAdapter(2));
    expect((await load('poet@1', true, POET)).version.version).toBe(1);
    expect(registry.get(ACME, POET)).toMatchObject({ active: { version: 1 }, versionCount: 2 });
  });

  it('takes a name that is in use only in place', async () => {
    await uploadFiles(registry, { tenant: ACME, name: POET }, tinyAdapter(1));
    await uploadFiles(registry, { tenant: ACME, name: FRESH }, tinyAdapter(2));
    const refusal = await refusedLoad('poet');
    expect(refusal.code).toBe('invalid_request');
    expect(refusal.message).toContain('has already been loaded');
    expect((await load('poet', true)).version.version).toBe(2);
  });

  it('takes samples, and never what belongs to another tenant', async () => {
    await uploadFiles(registry, { tenant: SAMPLES_TENANT, name: 'sample' as AdapterName }, tinyAdapter(1));
    await uploadFiles(registry, { tenant: GLOBEX, name: POET }, tinyAdapter(2));
    expect((await load('sample')).created).toBe(true);
    for (const source of ['poet', 'globex/poet', 'missing'])
      expect((await refusalOf(() => load(source, true))).code).toBe('adapter_not_found');
  });

  it("of the base model's name is refused", async () => {
    await uploadFiles(registry, { tenant: ACME, name: POET }, tinyAdapter(1));
    expect((await refusalOf(() => load('poet', false, 'tiny-llama' as AdapterName))).code).toBe('invalid_request');
  });
});

describe('unloading', () => {
  it('leaves versions behind the name, which another load brings back', async () => {
    await uploadFiles(registry, { tenant: ACME, name: POET }, tinyAdapter(1));
    expect(registry.unload(ACME, POET)).toMatchObject({ active: null, versionCount: 1 });
    expect((await refusalOf(() => registry.lease(ACME, 'poet'))).code).toBe('adapter_not_found');
    expect((await refusalOf(() => registry.unload(ACME, POET))).code).toBe('adapter_not_found');
    expect((await load('poet@1', false, POET)).created).toBe(false);
    expect(registry.lease(ACME, 'poet').version.version).toBe(1);
  });
});

describe('loading a path', () => {
  it("takes a folder of PEFT's files, a GGUF file, and a folder with one, relative or absolute", async () => {
    writeAdapter(join(importFolder, 'team', 'one'), 1);
    const gguf = readFileSync(fixturePath('tiny-adapters-gguf/qv-r8.gguf'));
    mkdirSync(join(importFolder, 'gguf'));
    writeFileSync(join(importFolder, 'gguf', 'q.gguf'), gguf);
    expect((await load('team/one')).created).toBe(true);
    expect((await load(join(importFolder, 'team', '.', 'one'), true)).created).toBe(false);
    expect((await load('gguf/q.gguf', true)).version.rank).toBe(8);
    expect((await load('gguf', true)).created).toBe(false);
    expect(registry.versions(ACME, FRESH)).toHaveLength(2);
  });

  it('follows links inside of the folder', async () => {
    writeAdapter(join(importFolder, 'real'), 1);
    symlinkSync('real', join(importFolder, 'linked'));
    expect((await load('linked')).created).toBe(true);
  });

  it('never leaves the folder', async () => {
    const secret = join(outside, 'secret');
    writeAdapter(secret, 1);
    symlinkSync(secret, join(importFolder, 'out'));
    writeAdapter(join(importFolder, 'mixed'), 2);
    mkdirSync(join(importFolder, 'files'));
    for (const name of ['adapter_config.json', 'adapter_model.safetensors'])
      symlinkSync(join(secret, name), join(importFolder, 'files', name));
    const sources = ['../secret', 'mixed/../../secret', secret, `${importFolder}-other`, 'out', 'files', '.', '/', '..', 'a\0b'];
    for (const source of sources) {
      const refusal = await refusedLoad(source);
      expect([source, refusal.code], refusal.message).toEqual([source, 'invalid_request']);
      if (!source.startsWith('/')) expect(refusal.message).not.toContain(root);
    }
    expect(registry.list(ACME)).toEqual([]);
    await registry.settled();
    expect(storage.blobs.list()).toEqual([]);
  });

  it('says the same of what is missing outside as of what is there', async () => {
    const [there, missing] = [await refusedLoad('../import'), await refusedLoad('../nothing')];
    expect(there.message.replace('import', 'X')).toBe(missing.message.replace('nothing', 'X'));
  });

  it('waits for nothing that is no file', { timeout: 5000 }, async () => {
    writeAdapter(join(importFolder, 'pipe'), 1);
    execFileSync('rm', [join(importFolder, 'pipe', 'adapter_config.json')]);
    execFileSync('mkfifo', [join(importFolder, 'pipe', 'adapter_config.json')]);
    expect((await refusedLoad('pipe')).message).toContain('adapter_config.json is no file');
  });

  it('answers that there is no adapter where there is none, also without an import folder', async () => {
    mkdirSync(join(importFolder, 'empty'));
    for (const source of ['empty', 'missing', 'missing/deeper']) {
      const refusal = await refusedLoad(source);
      expect([refusal.code, refusal.message]).toEqual(['adapter_not_found', `No adapter found for '${source}'`]);
    }
    const without = await openTinyRegistry(storage);
    const refusal = await refusalOf(() => without.load(ACME, FRESH, 'missing', { inPlace: false }));
    expect(refusal.message).toBe("No adapter found for 'missing'");
  });

  it('of a name that is being loaded is refused, so that two loads do not pass the same check', async () => {
    writeAdapter(join(importFolder, 'one'), 1);
    writeAdapter(join(importFolder, 'two'), 2);
    const outcomes = await Promise.allSettled([load('one'), load('two')]);
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    expect((await load('two', true)).version.version).toBe(2);
  });

  it('leaves no copy behind, whatever becomes of it', async () => {
    writeAdapter(join(importFolder, 'one'), 1);
    writeAdapter(join(importFolder, 'broken'), 2);
    writeFileSync(join(importFolder, 'broken', 'adapter_model.safetensors'), 'no safetensors');
    await load('one');
    expect((await refusedLoad('one')).code).toBe('invalid_request');
    expect((await refusalOf(() => load('broken', true))).code).toBe('invalid_adapter');
    const tiny = await openTinyRegistry(storage, { importFolder, maxFileBytes: 10 });
    expect((await refusalOf(() => tiny.load(ACME, FRESH, 'broken', { inPlace: true }))).code).toBe('payload_too_large');
    expect(execFileSync('ls', ['-A', registry.uploadFolder], { encoding: 'utf8' })).toBe('');
  });
});
