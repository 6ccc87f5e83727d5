// Random histories of two tenants with the same names, against a model of a few maps: pointer, leases, versions, and the blobs on disk.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, expect, it } from 'vitest';
import { openTinyRegistry, tinyAdapter, uploadFiles } from '../../test/support/registry-harness.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { isAppError, type AdapterName, type Digest, type TenantId } from '../core/index.ts';
import { openMemoryStorage, type Storage } from '../storage/index.ts';
import type { AdapterLease, AdapterRegistry } from './port.ts';

const TENANTS = ['acme', 'globex'] as TenantId[];
const NAMES = ['poet', 'clerk'] as AdapterName[];
const CONTENTS = [0, 1, 2];
const SHARE = 0.5;

type Action =
  | { readonly kind: 'upload'; readonly content: number; readonly activate: boolean }
  | { readonly kind: 'activate'; readonly version: number; readonly canary: number | null }
  | { readonly kind: 'remove-version'; readonly version: number }
  | { readonly kind: 'lease'; readonly version: number | null }
  | { readonly kind: 'remove' | 'unload' }
  | { readonly kind: 'release'; readonly pick: number };

interface Step {
  readonly tenant: TenantId;
  readonly name: AdapterName;
  readonly action: Action;
}

interface ModelAdapter {
  /** Version to content. */
  readonly versions: Map<number, number>;
  active: number | null;
  canary: number | null;
  nextVersion: number;
}

const version = fc.integer({ min: 1, max: 5 });
const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('upload' as const), content: fc.constantFrom(...CONTENTS), activate: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('activate' as const), version, canary: fc.option(version) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('remove-version' as const), version }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('lease' as const), version: fc.option(version) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('remove' as const, 'unload' as const) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('release' as const), pick: fc.nat(20) }) },
);
const steps: fc.Arbitrary<Step[]> = fc.array(fc.record({ tenant: fc.constantFrom(...TENANTS), name: fc.constantFrom(...NAMES), action }), {
  minLength: 5,
  maxLength: 30,
});

const root = temporaryFolder();
let folderCount = 0;
/** Digests that each content leaves on disk: packed and originals. */
const digestsOfContent = new Map<number, { readonly packed: Digest; readonly all: readonly Digest[] }>();

function newStorage(): Storage {
  folderCount += 1;
  return openMemoryStorage(join(root, String(folderCount)));
}

beforeAll(async () => {
  for (const content of CONTENTS) {
    const storage = newStorage();
    const registry = await openTinyRegistry(storage);
    const uploaded = await uploadFiles(registry, { tenant: 'acme' as TenantId, name: 'poet' as AdapterName }, tinyAdapter(content));
    digestsOfContent.set(content, { packed: uploaded.version.digest, all: storage.blobs.list() });
  }
});

class RegistryModel {
  private readonly adapters = new Map<string, ModelAdapter>();
  private readonly leases: { readonly lease: AdapterLease; readonly content: number }[] = [];
  private readonly registry: AdapterRegistry;
  private readonly storage: Storage;

  constructor(registry: AdapterRegistry, storage: Storage) {
    this.registry = registry;
    this.storage = storage;
  }

  async apply({ tenant, name, action: what }: Step): Promise<void> {
    const adapter = this.adapterOf(tenant, name);
    switch (what.kind) {
      case 'upload':
        return await this.upload(adapter, { tenant, name }, what);
      case 'activate': {
        const { version: active, canary } = what;
        const canBe = adapter.versions.has(active) && (canary === null || (canary !== active && adapter.versions.has(canary)));
        assert.equal(
          succeeds(() => this.registry.activate(tenant, name, active, '*', canary === null ? null : { version: canary, share: SHARE })),
          canBe,
        );
        if (canBe) [adapter.active, adapter.canary] = [active, canary];
        return undefined;
      }
      case 'unload':
        assert.equal(
          succeeds(() => this.registry.unload(tenant, name)),
          adapter.active !== null,
        );
        [adapter.active, adapter.canary] = [null, null];
        return undefined;
      case 'remove-version':
        assert.equal(
          succeeds(() => this.registry.removeVersion(tenant, name, what.version)),
          adapter.versions.delete(what.version),
        );
        if (adapter.canary === what.version || adapter.active === what.version) adapter.canary = null;
        if (adapter.active === what.version) adapter.active = null;
        return undefined;
      case 'remove':
        assert.equal(
          succeeds(() => this.registry.remove(tenant, name)),
          adapter.versions.size > 0,
        );
        adapter.versions.clear();
        [adapter.active, adapter.canary] = [null, null];
        return undefined;
      case 'lease':
        return this.lease(adapter, tenant, name, what.version);
      case 'release':
        for (const { lease } of this.leases.splice(what.pick % (this.leases.length + 1), 1)) lease.release();
        return undefined;
    }
  }

  /** Compares everything that can be seen from outside. */
  async check(): Promise<void> {
    await this.registry.settled();
    for (const tenant of TENANTS) {
      const expected = NAMES.map((name) => ({ name, adapter: this.adapterOf(tenant, name) }))
        .filter(({ adapter }) => adapter.versions.size > 0)
        .map(({ name, adapter: { active, canary, versions } }) => ({ tenant, name, active, canary, versionCount: versions.size }))
        .toSorted((left, right) => (left.name < right.name ? -1 : 1));
      const seen = this.registry.list(tenant).map((each) => ({
        tenant: each.tenant,
        name: each.name,
        active: each.active?.version ?? null,
        canary: each.canary?.version ?? null,
        versionCount: each.versionCount,
      }));
      assert.deepEqual(seen, expected);
    }
    assert.equal(this.registry.leaseCount(), this.leases.length);
    assert.deepEqual(new Set(this.storage.blobs.list()), this.neededDigests());
  }

  releaseAll(): void {
    for (const { lease } of this.leases.splice(0)) lease.release();
  }

  private async upload(
    adapter: ModelAdapter,
    target: { readonly tenant: TenantId; readonly name: AdapterName },
    { content, activate }: { readonly content: number; readonly activate: boolean },
  ): Promise<void> {
    const same = [...adapter.versions].findLast(([, present]) => present === content)?.[0];
    const { version: stored, created } = await uploadFiles(this.registry, target, tinyAdapter(content), activate);
    assert.deepEqual([stored.version, created], [same ?? adapter.nextVersion, same === undefined]);
    adapter.versions.set(stored.version, content);
    if (same === undefined) adapter.nextVersion += 1;
    // Activating what is active already changes nothing, so a canary beside it stays.
    if (activate && adapter.active !== stored.version) [adapter.active, adapter.canary] = [stored.version, null];
  }

  private lease(adapter: ModelAdapter, tenant: TenantId, name: AdapterName, wanted: number | null): void {
    const expected = wanted ?? adapter.active;
    const content = expected === null ? undefined : adapter.versions.get(expected);
    const reference = wanted === null ? name : `${name}@${wanted}`;
    if (content === undefined) {
      assert.equal(
        succeeds(() => this.registry.lease(tenant, reference)),
        false,
      );
      return;
    }
    const lease = this.registry.lease(tenant, reference);
    assert.deepEqual([lease.version.tenant, lease.version.name, lease.version.version], [tenant, name, expected]);
    assert.equal(lease.version.digest, digestsOfContent.get(content)?.packed);
    this.leases.push({ lease, content });
  }

  private adapterOf(tenant: TenantId, name: AdapterName): ModelAdapter {
    const key = `${tenant}/${name}`;
    const adapter = this.adapters.get(key) ?? { versions: new Map<number, number>(), active: null, canary: null, nextVersion: 1 };
    this.adapters.set(key, adapter);
    return adapter;
  }

  private neededDigests(): ReadonlySet<Digest> {
    const stored = [...this.adapters.values()].flatMap((adapter) => [...adapter.versions.values()]);
    const leased = this.leases.map(({ content }) => content);
    return new Set([...stored, ...leased].flatMap((content) => digestsOfContent.get(content)?.all ?? []));
  }
}

function succeeds(work: () => unknown): boolean {
  try {
    work();
    return true;
  } catch (error) {
    if (isAppError(error)) return false;
    throw error;
  }
}

it('behaves like the model, and the disk holds what rows and leases need and nothing else', { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (history) => {
      const storage = newStorage();
      const registry = await openTinyRegistry(storage);
      const model = new RegistryModel(registry, storage);
      for (const step of history) {
        await model.apply(step);
        await model.check();
      }
      model.releaseAll();
      await model.check();
      expect(registry.leaseCount()).toBe(0);
    }),
    { seed: 20_261_123, numRuns: 40 },
  );
});
