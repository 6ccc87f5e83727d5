// What routes may rely on: names, versions, pointer, leases and isolation of tenants, over the in-memory storage driver.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { beforeEach, describe, expect, it } from 'vitest';
import { refusalOf } from '../../test/support/refusal.ts';
import { openTinyRegistry, tinyAdapter, uploadFiles } from '../../test/support/registry-harness.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { TINY_BASE } from '../../test/support/tiny-base.ts';
import { type AdapterName, type Digest, type TenantId } from '../core/index.ts';
import { openMemoryStorage, type Storage } from '../storage/index.ts';
import type { AdapterRegistry, UploadPart } from './port.ts';

const ACME = 'acme' as TenantId;
const GLOBEX = 'globex' as TenantId;
const POET = 'poet' as AdapterName;
const ACME_POET = { tenant: ACME, name: POET };
const GLOBEX_POET = { tenant: GLOBEX, name: POET };

const root = temporaryFolder();
let folderCount = 0;
let storage: Storage;
let registry: AdapterRegistry;

beforeEach(async () => {
  folderCount += 1;
  storage = openMemoryStorage(join(root, String(folderCount)));
  registry = await openTinyRegistry(storage);
});

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

describe('upload', () => {
  it('stores the packed form and the originals, and answers the version', async () => {
    const files = tinyAdapter(1);
    const { version, created } = await uploadFiles(registry, ACME_POET, files);
    expect(created).toBe(true);
    expect(version).toMatchObject({ tenant: ACME, name: POET, version: 1, kind: 'lora', rank: 2, targetModules: ['q_proj'] });
    expect(version.bytes).toBe(files.config.length + files.tensors.length);
    expect(sha256(readFileSync(storage.blobs.path(version.digest)))).toBe(version.digest);
    const opened = registry.openFile(ACME, POET, 1, 'adapter_model.safetensors');
    expect(opened.bytes).toBe(files.tensors.length);
    expect(Buffer.compare(await buffer(opened.stream), files.tensors)).toBe(0);
    expect(readdirSync(registry.uploadFolder).flatMap((folder) => readdirSync(join(registry.uploadFolder, folder)))).toEqual([]);
  });

  it('of the same bytes again makes no version, but activates the one that is there', async () => {
    await uploadFiles(registry, ACME_POET, tinyAdapter(1));
    await uploadFiles(registry, ACME_POET, tinyAdapter(2));
    const staged = await uploadFiles(registry, ACME_POET, tinyAdapter(1), false);
    expect(staged).toMatchObject({ created: false, version: { version: 1 } });
    expect(registry.get(ACME, POET).active?.version).toBe(2);
    const again = await uploadFiles(registry, ACME_POET, tinyAdapter(1));
    expect(again).toMatchObject({ created: false, version: { version: 1 } });
    expect(registry.get(ACME, POET)).toMatchObject({ active: { version: 1 }, versionCount: 2 });
  });

  it('of the same bytes many times at once makes one version', async () => {
    const uploads = await Promise.all(Array.from({ length: 5 }, () => uploadFiles(registry, ACME_POET, tinyAdapter(1))));
    expect(uploads.filter(({ created }) => created)).toHaveLength(1);
    expect(registry.versions(ACME, POET)).toHaveLength(1);
  });

  it('can stage a version, which is leased by number only', async () => {
    await uploadFiles(registry, ACME_POET, tinyAdapter(1), false);
    expect(registry.get(ACME, POET).active).toBeNull();
    expect((await refusalOf(() => registry.lease(ACME, 'poet'))).code).toBe('adapter_not_found');
    expect(registry.lease(ACME, 'poet@1').version.version).toBe(1);
  });

  it('that is refused leaves nothing behind', async () => {
    const { config } = tinyAdapter(1);
    const refusal = await refusalOf(() => uploadFiles(registry, ACME_POET, { config, tensors: Buffer.from('no safetensors') }));
    await registry.settled();
    expect(refusal.code).toBe('invalid_adapter');
    expect(registry.list(ACME)).toEqual([]);
    expect(storage.blobs.list()).toEqual([]);
  });

  it.each<readonly [string, readonly UploadPart['fileName'][]]>([
    ['nothing', []],
    ['one file', ['adapter_config.json']],
    ['a file twice', ['adapter_config.json', 'adapter_config.json']],
  ])('of %s is refused', async (_what, names) => {
    const parts = names.map((fileName) => ({ fileName, path: join(registry.uploadFolder, 'missing') }));
    const refusal = await refusalOf(() => registry.upload(ACME, POET, parts, { activate: true }));
    expect(refusal.code).toBe('invalid_adapter');
    expect(refusal.message).toContain('adapter_config.json and adapter_model.safetensors');
  });

  it('of the same bytes again replaces a packed file that was lost or damaged', async () => {
    const { version } = await uploadFiles(registry, ACME_POET, tinyAdapter(1));
    const packed = storage.blobs.path(version.digest);
    const bytes = readFileSync(packed);
    for (const harm of [() => rmSync(packed), () => truncateSync(packed, 100), () => writeFileSync(packed, 'x'.repeat(bytes.length))]) {
      harm();
      expect(await uploadFiles(registry, ACME_POET, tinyAdapter(1))).toMatchObject({ created: false, version: { version: 1 } });
      expect(Buffer.compare(readFileSync(packed), bytes)).toBe(0);
    }
  });

  it('of a file that is too large is refused before it is read', async () => {
    const small = await openTinyRegistry(storage, { maxFileBytes: 100 });
    const refusal = await refusalOf(() => uploadFiles(small, ACME_POET, tinyAdapter(1)));
    expect(refusal.code).toBe('payload_too_large');
    expect(refusal.message).toContain('at most 100');
  });

  it("under the base model's name is refused", async () => {
    const refusal = await refusalOf(() => uploadFiles(registry, { tenant: ACME, name: TINY_BASE.id as AdapterName }, tinyAdapter(1)));
    expect(refusal).toMatchObject({ code: 'invalid_request', param: 'name' });
  });
});

describe('the pointer', () => {
  beforeEach(async () => {
    await uploadFiles(registry, ACME_POET, tinyAdapter(1));
    await uploadFiles(registry, ACME_POET, tinyAdapter(2));
  });

  it('moves back and forth with the etag that was seen, and the etag changes each time', () => {
    const etags = [registry.get(ACME, POET).etag];
    for (const version of [1, 2, 1]) {
      const summary = registry.activate(ACME, POET, version, etags.at(-1) ?? '');
      expect(summary.active?.version).toBe(version);
      etags.push(summary.etag);
    }
    expect(new Set(etags).size).toBe(4);
    expect(registry.get(ACME, POET).etag).toBe(etags.at(-1));
  });

  it('does not move with an etag of the past, and says the present one', async () => {
    const { etag } = registry.get(ACME, POET);
    const moved = registry.activate(ACME, POET, 1, etag);
    const refusal = await refusalOf(() => registry.activate(ACME, POET, 2, etag));
    expect(refusal.code).toBe('precondition_failed');
    expect(refusal.message).toContain(moved.etag);
    expect(registry.get(ACME, POET).active?.version).toBe(1);
  });

  it('needs If-Match, of which * is one', async () => {
    expect((await refusalOf(() => registry.activate(ACME, POET, 1, ''))).code).toBe('precondition_required');
    expect(registry.activate(ACME, POET, 1, '*').active?.version).toBe(1);
  });

  it('does not move to a version that is not there', async () => {
    expect((await refusalOf(() => registry.activate(ACME, POET, 9, '*'))).code).toBe('not_found');
  });

  it('has the same etag on a second reading, and another one after the name was used anew', async () => {
    const { etag } = registry.get(ACME, POET);
    registry.setPlacement(ACME, POET, { pinned: true });
    expect(registry.get(ACME, POET).etag).toBe(etag);
    registry.remove(ACME, POET);
    await uploadFiles(registry, ACME_POET, tinyAdapter(2));
    expect(registry.get(ACME, POET).etag).not.toBe(etag);
  });
});

describe('a lease', () => {
  it('keeps its version while the pointer moves on', async () => {
    await uploadFiles(registry, ACME_POET, tinyAdapter(1));
    const lease = registry.lease(ACME, 'poet');
    await uploadFiles(registry, ACME_POET, tinyAdapter(2));
    expect(lease.version.version).toBe(1);
    expect(registry.lease(ACME, 'poet').version.version).toBe(2);
  });

  it('keeps the bytes of a removed version until the last release', async () => {
    const { version } = await uploadFiles(registry, ACME_POET, tinyAdapter(1));
    const leases = [registry.lease(ACME, 'poet'), registry.lease(ACME, 'poet')];
    registry.remove(ACME, POET);
    await registry.settled();
    expect(existsSync(storage.blobs.path(version.digest))).toBe(true);
    leases[0]?.release();
    leases[0]?.release();
    await registry.settled();
    expect(registry.leaseCount(version.digest)).toBe(1);
    expect(existsSync(storage.blobs.path(version.digest))).toBe(true);
    leases[1]?.release();
    await registry.settled();
    expect(registry.leaseCount()).toBe(0);
    expect(storage.blobs.list()).toEqual([]);
  });

  it('is found by name, number, digest, tenant and base', async () => {
    const { version } = await uploadFiles(registry, ACME_POET, tinyAdapter(1));
    await uploadFiles(registry, ACME_POET, tinyAdapter(2));
    const numberOf = (reference: string): number => registry.lease(ACME, reference).version.version;
    expect(numberOf('poet')).toBe(2);
    expect(numberOf('poet@1')).toBe(1);
    expect(numberOf(`poet@sha256:${version.digest}`)).toBe(1);
    expect(numberOf('acme/poet@1')).toBe(1);
    expect(numberOf('tiny-llama:acme/poet')).toBe(2);
  });

  it('of a version for another base is refused with the reason', async () => {
    await uploadFiles(registry, ACME_POET, tinyAdapter(1));
    const other = await openTinyRegistry(storage, { base: { ...TINY_BASE, id: 'other', digest: 'c'.repeat(64) as Digest } });
    const refusal = await refusalOf(() => other.lease(ACME, 'poet'));
    expect(refusal.code).toBe('unsupported_adapter');
    expect(refusal.message).toContain('another base model');
    expect((await uploadFiles(other, ACME_POET, tinyAdapter(1))).created).toBe(true);
    expect(other.lease(ACME, 'poet').version.version).toBe(2);
  });
});

describe('two tenants', () => {
  it('with the same name each get their own', async () => {
    const acme = await uploadFiles(registry, ACME_POET, tinyAdapter(1));
    const globex = await uploadFiles(registry, GLOBEX_POET, tinyAdapter(2));
    expect(registry.lease(ACME, 'poet').version).toEqual(acme.version);
    expect(registry.lease(GLOBEX, 'poet').version).toEqual(globex.version);
    registry.remove(ACME, POET);
    expect(registry.list(ACME)).toEqual([]);
    expect(registry.get(GLOBEX, POET).active).toEqual(globex.version);
  });

  it('get one same answer for malformed, missing and foreign references', async () => {
    const { version } = await uploadFiles(registry, ACME_POET, tinyAdapter(1));
    const references = [
      'poet',
      'acme/poet',
      `poet@sha256:${version.digest}`,
      'missing',
      'acme/missing',
      '',
      '../poet',
      'poet@0',
      'a/b/c',
      'x'.repeat(10_000),
    ];
    const refusals = await Promise.all(references.map(async (reference) => await refusalOf(() => registry.lease(GLOBEX, reference))));
    expect(new Set(refusals.map(({ code, message, param }) => JSON.stringify({ code, message, param }))).size).toBe(1);
    expect(refusals[0]?.code).toBe('adapter_not_found');
  });

  it('cannot see or change what is not theirs', async () => {
    await uploadFiles(registry, ACME_POET, tinyAdapter(1));
    const attempts: readonly (() => unknown)[] = [
      () => registry.get(GLOBEX, POET),
      () => registry.versions(GLOBEX, POET),
      () => registry.openFile(GLOBEX, POET, 1, 'adapter_config.json'),
      () => registry.activate(GLOBEX, POET, 1, '*'),
      () => registry.setPlacement(GLOBEX, POET, { pinned: true }),
      () => registry.removeVersion(GLOBEX, POET, 1),
      () => registry.remove(GLOBEX, POET),
    ];
    for (const attempt of attempts) expect((await refusalOf(attempt)).code).toBe('adapter_not_found');
    expect(registry.get(ACME, POET)).toMatchObject({ versionCount: 1, pinned: false });
  });
});

describe('the start', () => {
  it('collects blobs that no row refers to and keeps all others', async () => {
    const { version } = await uploadFiles(registry, ACME_POET, tinyAdapter(1));
    const before = storage.blobs.list().length;
    const orphan = await storage.blobs.put(Buffer.from('from an upload that a crash cut off'));
    const again = await openTinyRegistry(storage);
    expect(storage.blobs.has(orphan)).toBe(false);
    expect(storage.blobs.list()).toHaveLength(before);
    expect(again.lease(ACME, 'poet').version).toEqual(version);
  });
});
