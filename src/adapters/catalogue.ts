// Which row a name or reference stands for, as a tenant sees it: what is missing, foreign or malformed does not exist, in the same words.
import { AppError, SAMPLES_TENANT, type AdapterName, type TenantId } from '../core/index.ts';
import type { AdapterRow, AdapterStore, AdapterVersionRow } from '../storage/index.ts';
import { parseReference, type VersionSelector } from './reference.ts';
import { takesCanary } from './traffic-split.ts';

/** One text for missing, foreign and malformed, so that it tells nothing about other tenants. */
const NOT_FOUND = 'no such adapter: GET /v1/models lists those that you may use';

export class Catalogue {
  private readonly store: AdapterStore;
  private readonly baseId: string;

  constructor(store: AdapterStore, baseId: string) {
    this.store = store;
    this.baseId = baseId;
  }

  /** The version behind a reference; `splitKey` as in `AdapterRegistry.lease`. @throws AppError adapter_not_found. */
  resolve(tenant: TenantId, reference: string, splitKey?: string): AdapterVersionRow {
    const parsed = parseReference(reference, this.baseId);
    if (parsed === undefined) throw adapterNotFound();
    const adapter = parsed.tenant === null ? this.visible(tenant, parsed.name) : this.named(tenant, parsed.tenant, parsed.name);
    const row = this.select(adapter, parsed.selector, splitKey);
    if (row === undefined) throw adapterNotFound();
    return row;
  }

  /** The tenant's own adapter of this name, else the sample that everybody may read. */
  visible(tenant: TenantId, name: AdapterName): AdapterRow {
    const row = this.store.adapter(tenant, name) ?? this.store.adapter(SAMPLES_TENANT, name);
    if (row === null) throw adapterNotFound();
    return row;
  }

  /** `owner/name`: only the caller's own and the samples exist for the caller. */
  private named(tenant: TenantId, owner: TenantId, name: AdapterName): AdapterRow {
    const row = owner === tenant || owner === SAMPLES_TENANT ? this.store.adapter(owner, name) : null;
    if (row === null) throw adapterNotFound();
    return row;
  }

  /** For changes: the tenant's own only. */
  owned(tenant: TenantId, name: AdapterName): AdapterRow {
    const row = this.visible(tenant, name);
    if (row.tenant !== tenant)
      throw new AppError('forbidden', `"${name}" is shared with you and read-only: upload your own under this name to change it`);
    return row;
  }

  private select(adapter: AdapterRow, selector: VersionSelector, splitKey?: string): AdapterVersionRow | undefined {
    switch (selector.kind) {
      case 'active': {
        const { tenant, name, activeVersion, canary } = adapter;
        const splits = canary !== null && splitKey !== undefined && takesCanary(tenant, name, canary, splitKey);
        const version = splits ? canary.version : activeVersion;
        return version === null ? undefined : (this.store.version(tenant, name, version) ?? undefined);
      }
      case 'version':
        return this.store.version(adapter.tenant, adapter.name, selector.version) ?? undefined;
      case 'digest':
        return this.store.versions(adapter.tenant, adapter.name).findLast((row) => row.packedDigest === selector.digest);
    }
  }

  /** @throws AppError not_found. */
  requireVersion(adapter: AdapterRow, version: number): AdapterVersionRow {
    const row = this.store.version(adapter.tenant, adapter.name, version);
    if (row === null) throw new AppError('not_found', `"${adapter.name}" has no version ${version}`);
    return row;
  }
}

export function adapterNotFound(): AppError {
  return new AppError('adapter_not_found', NOT_FOUND);
}
