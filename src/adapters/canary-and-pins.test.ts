// Canaries beside the pointer, and which packed adapters must stay in memory, over the in-memory storage driver.
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { refusalOf } from '../../test/support/refusal.ts';
import { openTinyRegistry, tinyAdapter, uploadFiles } from '../../test/support/registry-harness.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { TINY_BASE } from '../../test/support/tiny-base.ts';
import type { AdapterName, Digest, TenantId } from '../core/index.ts';
import { openMemoryStorage, type Storage } from '../storage/index.ts';
import type { AdapterRegistry } from './port.ts';

const ACME = 'acme' as TenantId;
const POET = 'poet' as AdapterName;
const ACME_POET = { tenant: ACME, name: POET };

const root = temporaryFolder();
let folderCount = 0;
let storage: Storage;
let registry: AdapterRegistry;

beforeEach(async () => {
  folderCount += 1;
  storage = openMemoryStorage(join(root, String(folderCount)));
  registry = await openTinyRegistry(storage);
});

describe('a canary', () => {
  const split = (share: number) => registry.activate(ACME, POET, 1, '*', { version: 2, share });

  beforeEach(async () => {
    for (const seed of [1, 2, 3]) await uploadFiles(registry, ACME_POET, tinyAdapter(seed));
  });

  it('answers its share of those who name no version, and a key always the same', () => {
    expect(split(0.5).canary).toEqual({ version: 2, share: 0.5 });
    const met = (key: string): number => registry.lease(ACME, 'poet', key).version.version;
    const keys = Array.from({ length: 100 }, (_, index) => `key ${index}`);
    const first = keys.map(met);
    expect(new Set(first)).toEqual(new Set([1, 2]));
    expect(keys.map(met)).toEqual(first);
    expect(keys.every((key) => registry.lease(ACME, 'poet@1', key).version.version === 1)).toBe(true);
    expect(registry.lease(ACME, 'poet').version.version).toBe(1);
  });

  it('changes the etag, and ends with the next activation, rollback or activating upload', async () => {
    const etags = [registry.get(ACME, POET).etag, split(0.5).etag, split(0.6).etag];
    expect(registry.activate(ACME, POET, 3, etags[2] ?? '').canary).toBeNull();
    split(0.5);
    await uploadFiles(registry, ACME_POET, tinyAdapter(2), false);
    expect(registry.get(ACME, POET).canary).not.toBeNull();
    await uploadFiles(registry, ACME_POET, tinyAdapter(2));
    expect(registry.get(ACME, POET)).toMatchObject({ active: { version: 2 }, canary: null });
    expect(new Set(etags).size).toBe(3);
  });

  it.each<readonly [string, number, number]>([
    ['invalid_request', 1, 0.5],
    ['not_found', 9, 0.5],
    ['invalid_request', 2, 0],
    ['invalid_request', 2, 1],
    ['invalid_request', 2, Number.NaN],
  ])('is refused with %s as version %d of share %d beside version 1', async (code, version, share) => {
    expect((await refusalOf(() => registry.activate(ACME, POET, 1, '*', { version, share }))).code).toBe(code);
    expect(registry.get(ACME, POET)).toMatchObject({ active: { version: 3 }, canary: null });
  });
});

describe('activated versions', () => {
  it('are told: those that uploads, loads and the pointer make active, with the canary, and no other', async () => {
    const told: Digest[] = [];
    const telling = await openTinyRegistry(storage, { onActivated: (digest) => void told.push(digest) });
    const first = (await uploadFiles(telling, ACME_POET, tinyAdapter(1))).version.digest;
    const second = (await uploadFiles(telling, ACME_POET, tinyAdapter(2), false)).version.digest;
    expect(told).toEqual([first]);
    telling.activate(ACME, POET, 2, '*');
    telling.activate(ACME, POET, 1, '*', { version: 2, share: 0.1 });
    expect(told.slice(1)).toEqual([second, first, second]);
    telling.setPlacement(ACME, POET, { pinned: true });
    telling.unload(ACME, POET);
    expect(told).toHaveLength(4);
    await telling.load(ACME, POET, 'poet@2', { inPlace: false });
    expect(told.slice(4)).toEqual([second]);
  });
});

describe('pins', () => {
  it('are told at the start and whenever they change: active version and canary of every pinned name', async () => {
    const told: (readonly Digest[])[] = [];
    const parts = { onPins: (digests: readonly Digest[]) => void told.push(digests) };
    const pinning = await openTinyRegistry(storage, parts);
    const digests: Digest[] = [];
    for (const seed of [1, 2]) digests.push((await uploadFiles(pinning, ACME_POET, tinyAdapter(seed))).version.digest);
    const [first, second] = digests as [Digest, Digest];
    expect(told).toEqual([]);
    pinning.setPlacement(ACME, POET, { pinned: true });
    pinning.setPlacement(ACME, POET, { mode: 'side' });
    pinning.activate(ACME, POET, 1, '*');
    pinning.activate(ACME, POET, 1, '*', { version: 2, share: 0.1 });
    await openTinyRegistry(storage, parts);
    pinning.unload(ACME, POET);
    await pinning.load(ACME, POET, 'poet@2', { inPlace: false });
    pinning.removeVersion(ACME, POET, 2);
    await uploadFiles(pinning, ACME_POET, tinyAdapter(1));
    pinning.remove(ACME, POET);
    expect(told).toEqual([[second], [first], [first, second], [first, second], [], [second], [], [first], []]);
  });

  it('are never those of another base', async () => {
    await uploadFiles(registry, ACME_POET, tinyAdapter(1));
    registry.setPlacement(ACME, POET, { pinned: true });
    const told: (readonly Digest[])[] = [];
    const base = { ...TINY_BASE, id: 'other', digest: 'c'.repeat(64) as Digest };
    await openTinyRegistry(storage, { base, onPins: (digests) => void told.push(digests) });
    expect(told).toEqual([]);
  });
});
