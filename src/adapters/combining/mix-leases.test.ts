import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { openTinyRegistry, tinyAdapter, uploadFiles } from '../../../test/support/registry-harness.ts';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { DEFAULT_TENANT, type AdapterName, type Digest } from '../../core/index.ts';
import { openMemoryStorage } from '../../storage/index.ts';
import type { AdapterRegistry, AdapterRegistryParts } from '../index.ts';
import { computeMix } from './compute-mix.ts';
import { parseMix, type Mix } from './mix.ts';

const NAMES = ['a', 'b', 'c'] as unknown as readonly AdapterName[];
const mixOf = (text: string): Mix => {
  const mix = parseMix(text);
  if (mix === undefined) throw new Error(`${text} is no mix`);
  return mix;
};

async function open(parts: Partial<AdapterRegistryParts> = {}) {
  const storage = openMemoryStorage(temporaryFolder());
  let computed = 0;
  const registry = await openTinyRegistry(storage, {
    computeMix: async (task) => {
      computed += 1;
      await computeMix(task);
    },
    ...parts,
  });
  for (const [index, name] of NAMES.entries()) await uploadFiles(registry, { tenant: DEFAULT_TENANT, name }, tinyAdapter(index + 1));
  return { storage, registry, computed: () => computed, has: (digest: Digest | null) => digest !== null && storage.blobs.has(digest) };
}

const lease = (registry: AdapterRegistry, text: string) => registry.leaseMix(DEFAULT_TENANT, mixOf(text));

/** The next turn of the event loop, after which a fresh blob is held by its users alone. */
async function settled(registry: AdapterRegistry): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  await registry.settled();
}

describe('leases of mixes', () => {
  it('make a mix once, for all who ask at once and for those who ask later', async () => {
    const { registry, computed } = await open();
    const leases = await Promise.all(['a*0.7,b*0.3', 'b*0.3,a*0.7', 'a*0.7,b*0.3'].map(async (text) => await lease(registry, text)));
    expect(new Set(leases.map(({ digest }) => digest)).size).toBe(1);
    expect(new Set(leases.map(({ label }) => label))).toEqual(new Set(['a@1*0.7,b@1*0.3']));
    for (const held of leases) held.release();
    (await lease(registry, 'a*0.7,b*0.3')).release();
    expect(computed()).toBe(1);
    expect(registry.leaseCount()).toBe(0);
  });

  it('hold the parts and the mix until their release, also when all of it is removed meanwhile', async () => {
    const { registry, storage, has } = await open();
    const held = await lease(registry, 'a*0.7,b*0.3');
    const digests = held.versions.map(({ digest }) => digest);
    for (const { name } of held.versions) registry.remove(DEFAULT_TENANT, name);
    await settled(registry);
    expect([...digests, held.digest].map(has)).toEqual([true, true, true]);
    held.release();
    held.release();
    await settled(registry);
    expect([...digests, held.digest].map(has)).toEqual([false, false, false]);
    expect(storage.blobs.list().length).toBe(3);
    expect(registry.leaseCount()).toBe(0);
  });

  it('keep no more on the disk than they may, the oldest goes first, and what is used stays', async () => {
    const { registry, has } = await open({ mixCacheBytes: 2500 });
    const first = await lease(registry, 'a*0.5');
    const second = await lease(registry, 'b*0.5');
    second.release();
    const third = await lease(registry, 'c*0.5');
    third.release();
    await settled(registry);
    expect([first, second, third].map(({ digest }) => has(digest))).toEqual([true, false, true]);
    first.release();
    await settled(registry);
    expect(has(first.digest)).toBe(false);
  });

  it('serve a mix that is larger than all that may be kept, and drop it after', async () => {
    const { registry, has } = await open({ mixCacheBytes: 0 });
    const held = await lease(registry, 'a*0.5');
    await settled(registry);
    expect(has(held.digest)).toBe(true);
    held.release();
    await settled(registry);
    expect(has(held.digest)).toBe(false);
  });

  it('release every part when one of them is missing or the mix cannot be made, and leave no file', async () => {
    const { registry, storage } = await open({ computeMix: () => Promise.reject(new Error('broken')) });
    await expect(lease(registry, 'a*0.5,nobody*0.5')).rejects.toThrow('no such adapter');
    await expect(lease(registry, 'a*0.5,b*0.5')).rejects.toThrow('broken');
    expect(registry.leaseCount()).toBe(0);
    expect(readdirSync(storage.blobs.temporaryFolder).filter((name) => name.startsWith('mix-'))).toEqual([]);
  });

  it('do not keep a mix of which a part was removed while it was made', async () => {
    let remove = (): void => undefined;
    const { registry, has } = await open({
      computeMix: async (task) => {
        remove();
        await computeMix(task);
      },
    });
    remove = () => registry.remove(DEFAULT_TENANT, NAMES[0] as AdapterName);
    const held = await lease(registry, 'a*0.7,b*0.3');
    await settled(registry);
    expect(has(held.digest)).toBe(true);
    held.release();
    await settled(registry);
    expect(has(held.digest)).toBe(false);
  });

  it('are refused when too many are being made, and nobody is refused for long', async () => {
    let finish = (): void => undefined;
    const started = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const { registry } = await open({
      computeMix: async (task) => {
        await started;
        await computeMix(task);
      },
    });
    const waiting = Array.from({ length: 17 }, async (_, index) => await lease(registry, `a*0.${index + 10}`));
    await expect(lease(registry, 'a*0.99')).rejects.toMatchObject({ code: 'overloaded', retryAfterSeconds: 2 });
    finish();
    for (const held of await Promise.all(waiting)) held.release();
    (await lease(registry, 'a*0.99')).release();
    expect(registry.leaseCount()).toBe(0);
  });

  it('leave nothing that the next start does not collect', async () => {
    const { registry, storage, has } = await open();
    const held = await lease(registry, 'a*0.7,b*0.3');
    expect(has(held.digest)).toBe(true);
    await openTinyRegistry(storage);
    expect(has(held.digest)).toBe(false);
  });
});
