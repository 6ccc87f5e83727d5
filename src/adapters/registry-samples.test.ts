// Samples, which every tenant sees and nobody but their owner changes, over the in-memory storage driver.
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { refusalOf } from '../../test/support/refusal.ts';
import { openTinyRegistry, tinyAdapter, uploadFiles } from '../../test/support/registry-harness.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { SAMPLES_TENANT, type AdapterName, type TenantId } from '../core/index.ts';
import { openMemoryStorage } from '../storage/index.ts';
import type { AdapterRegistry } from './port.ts';

const ACME = 'acme' as TenantId;
const GLOBEX = 'globex' as TenantId;
const POET = 'poet' as AdapterName;
const ACME_POET = { tenant: ACME, name: POET };
const SAMPLE_POET = { tenant: SAMPLES_TENANT, name: POET };

const root = temporaryFolder();
let folderCount = 0;
let registry: AdapterRegistry;

beforeEach(async () => {
  folderCount += 1;
  registry = await openTinyRegistry(openMemoryStorage(join(root, String(folderCount))));
});

describe('samples', () => {
  beforeEach(async () => {
    await uploadFiles(registry, SAMPLE_POET, tinyAdapter(7));
  });

  it('are listed, read and leased by every tenant, with or without their owner', () => {
    expect(registry.list(ACME)).toMatchObject([{ name: POET, tenant: SAMPLES_TENANT, shared: true }]);
    expect(registry.get(GLOBEX, POET)).toMatchObject({ shared: true, active: { version: 1 } });
    expect(registry.lease(ACME, 'poet').version.tenant).toBe(SAMPLES_TENANT);
    expect(registry.lease(ACME, 'samples/poet@1').version.tenant).toBe(SAMPLES_TENANT);
  });

  it('are read-only for all but their owner', async () => {
    const attempts: readonly (() => unknown)[] = [
      () => registry.activate(ACME, POET, 1, '*'),
      () => registry.setPlacement(ACME, POET, { pinned: true }),
      () => registry.removeVersion(ACME, POET, 1),
      () => registry.remove(ACME, POET),
    ];
    for (const attempt of attempts) expect((await refusalOf(attempt)).code).toBe('forbidden');
    expect(registry.get(SAMPLES_TENANT, POET)).toMatchObject({ shared: false, versionCount: 1 });
  });

  it('and own adapters are listed in one order, page by page', async () => {
    for (const name of ['alto', 'poet', 'tenor'] as AdapterName[]) await uploadFiles(registry, { tenant: ACME, name }, tinyAdapter(1));
    for (const name of ['bass', 'zither'] as AdapterName[]) await uploadFiles(registry, { tenant: SAMPLES_TENANT, name }, tinyAdapter(7));
    const whole = registry.list(ACME).map(({ name, shared }) => `${name} ${shared}`);
    expect(whole).toEqual(['alto false', 'bass true', 'poet false', 'tenor false', 'zither true']);
    for (const limit of [1, 2, 3, 4, 5, 6]) {
      const seen: string[] = [];
      for (let after = ''; ;) {
        const page = registry.list(ACME, { after, limit });
        seen.push(...page.map(({ name, shared }) => `${name} ${shared}`));
        if (page.length < limit) break;
        after = page.at(-1)?.name ?? '';
      }
      expect(seen, `pages of ${limit}`).toEqual(whole);
    }
  });

  it("are hidden by a tenant's own adapter of the same name, for that tenant only", async () => {
    await uploadFiles(registry, ACME_POET, tinyAdapter(1));
    expect(registry.lease(ACME, 'poet').version.tenant).toBe(ACME);
    expect(registry.list(ACME)).toMatchObject([{ tenant: ACME, shared: false }]);
    expect(registry.lease(ACME, 'samples/poet').version.tenant).toBe(SAMPLES_TENANT);
    expect(registry.lease(GLOBEX, 'poet').version.tenant).toBe(SAMPLES_TENANT);
    registry.remove(ACME, POET);
    expect(registry.lease(ACME, 'poet').version.tenant).toBe(SAMPLES_TENANT);
  });
});
