// The adapter registry: names, versions, pointer and leases of all tenants over one storage. Upload is in publication.ts.
import type { Readable } from 'node:stream';
import {
  AppError,
  SAMPLES_TENANT,
  silentLogger,
  systemClock,
  type AdapterName,
  type Clock,
  type Digest,
  type Logger,
  type TenantId,
} from '../core/index.ts';
import type { BaseModelDescription, BaseWeights } from '../models/index.ts';
import type { AdapterRow, AdapterVersionRow, Storage } from '../storage/index.ts';
import { exportFiles, needsConversion, readAsPeft } from './adapter-files.ts';
import { BlobKeeper } from './blob-keeper.ts';
import { ifMatchPasses, pointerEtag } from './etag.ts';
import { GarbageCollector } from './garbage.ts';
import type { AdapterKind } from './pack-adapter.ts';
import type { AdapterLease, AdapterRegistry, AdapterSummary, AdapterVersion, ExportedAdapter, ExportFormat, UploadPart } from './port.ts';
import { Publisher } from './publication.ts';
import { parseReference, type VersionSelector } from './reference.ts';
import { SerialQueue } from './serial-queue.ts';

const DEFAULT_MAX_FILE_BYTES = 2 ** 30;
/** One text for missing, foreign and malformed, so that it tells nothing about other tenants. */
const NOT_FOUND = 'no such adapter: GET /v1/models lists those that you may use';

export interface AdapterRegistryParts {
  readonly storage: Storage;
  /** The loaded base; adapters are validated against it and bound to it. */
  readonly base: BaseModelDescription;
  /** Its original weights, read only for DoRA. */
  readonly weights: BaseWeights;
  /** Largest rank of a site (setting adapterMaxRank). */
  readonly maxRank: number;
  /** Bytes that one uploaded file may have; 1 GiB when absent. */
  readonly maxFileBytes?: number;
  /** The engine can serve merged models; otherwise an adapter with full weights is refused when a request names it. */
  readonly servesMerged?: boolean;
  readonly clock?: Clock;
  readonly logger?: Logger;
}

/** Removes blobs that no row refers to, then answers the registry. Reads no blob. */
export async function openAdapterRegistry(parts: AdapterRegistryParts): Promise<AdapterRegistry> {
  const blobChanges = new SerialQueue();
  const garbage = new GarbageCollector(parts.storage, blobChanges, parts.logger ?? silentLogger);
  await garbage.collectAll();
  return new StoredAdapterRegistry(parts, blobChanges, garbage);
}

class StoredAdapterRegistry implements AdapterRegistry {
  readonly uploadFolder: string;
  readonly keeper: BlobKeeper;
  private readonly storage: Storage;
  private readonly base: BaseModelDescription;
  private readonly blobChanges: SerialQueue;
  private readonly garbage: GarbageCollector;
  private readonly publisher: Publisher;
  private readonly servesMerged: boolean;
  private readonly leases = new Map<Digest, number>();

  constructor(parts: AdapterRegistryParts, blobChanges: SerialQueue, garbage: GarbageCollector) {
    const { storage, base, weights, maxRank, maxFileBytes = DEFAULT_MAX_FILE_BYTES, servesMerged = false, clock = systemClock } = parts;
    this.servesMerged = servesMerged;
    this.storage = storage;
    this.base = base;
    this.blobChanges = blobChanges;
    this.garbage = garbage;
    this.publisher = new Publisher({ storage, packing: { base, weights, maxRank, clock }, maxFileBytes, garbage, blobChanges });
    this.uploadFolder = storage.blobs.temporaryFolder;
    this.keeper = new BlobKeeper(storage.blobs, blobChanges, garbage);
  }

  async upload(
    tenant: TenantId,
    name: AdapterName,
    parts: readonly UploadPart[],
    options: { readonly activate: boolean },
  ): Promise<{ readonly version: AdapterVersion; readonly created: boolean }> {
    const { row, created } = await this.publisher.publish(tenant, this.requireFreeName(name), parts, options.activate);
    return { version: versionOf(row), created };
  }

  list(tenant: TenantId): readonly AdapterSummary[] {
    const own = this.summariesOf(tenant, false);
    if (tenant === SAMPLES_TENANT) return own;
    const ownNames = new Set(own.map((summary) => summary.name));
    const shared = this.summariesOf(SAMPLES_TENANT, true).filter((summary) => !ownNames.has(summary.name));
    return [...own, ...shared].toSorted((left, right) => (left.name < right.name ? -1 : 1));
  }

  get(tenant: TenantId, name: AdapterName): AdapterSummary {
    const row = this.visible(tenant, name);
    return this.summaryOf(row, row.tenant !== tenant);
  }

  versions(tenant: TenantId, name: AdapterName): readonly AdapterVersion[] {
    const row = this.visible(tenant, name);
    return this.storage.adapters.versions(row.tenant, name).map(versionOf);
  }

  openFile(tenant: TenantId, name: AdapterName, version: number, fileName: string): { readonly stream: Readable; readonly bytes: number } {
    const row = this.requireVersion(this.visible(tenant, name), version);
    const file = row.files.find((candidate) => candidate.fileName === fileName);
    if (file === undefined) {
      throw new AppError('not_found', `version ${version} has the files ${row.files.map((each) => each.fileName).join(', ')}`);
    }
    return this.storage.blobs.open(file.digest);
  }

  async exportVersion(tenant: TenantId, name: AdapterName, version: number, format: ExportFormat): Promise<ExportedAdapter> {
    const row = this.requireVersion(this.visible(tenant, name), version);
    if (needsConversion(row.files, format)) this.requireLoadedBase(row);
    const endHold = this.garbage.holds.hold(digestsOf(row));
    try {
      return await exportFiles(row, format, this.storage.blobs, this.base);
    } finally {
      endHold();
    }
  }

  activate(tenant: TenantId, name: AdapterName, version: number, ifMatch: string): AdapterSummary {
    if (ifMatch.trim() === '') {
      throw new AppError('precondition_required', 'moving the pointer needs If-Match with the etag that you saw, or *');
    }
    const row = this.owned(tenant, name);
    const before = this.summaryOf(row, false);
    if (!ifMatchPasses(ifMatch, before.etag)) throw lostRace(before);
    this.requireLoadedBase(this.requireVersion(row, version));
    const moved = this.storage.adapters.activate(tenant, name, version, row.generation);
    if (moved === null) throw lostRace(this.get(tenant, name));
    return this.summaryOf(moved, false);
  }

  setPlacement(tenant: TenantId, name: AdapterName, placement: Parameters<AdapterRegistry['setPlacement']>[2]): AdapterSummary {
    this.owned(tenant, name);
    const row = this.storage.adapters.setPlacement(tenant, name, placement);
    if (row === null) throw notFound();
    return this.summaryOf(row, false);
  }

  remove(tenant: TenantId, name: AdapterName): void {
    this.owned(tenant, name);
    const digests = this.storage.adapters.versions(tenant, name).flatMap(digestsOf);
    this.storage.adapters.removeAdapter(tenant, name);
    this.garbage.suspect(digests);
  }

  removeVersion(tenant: TenantId, name: AdapterName, version: number): void {
    const row = this.requireVersion(this.owned(tenant, name), version);
    this.storage.adapters.removeVersion(tenant, name, version);
    this.garbage.suspect(digestsOf(row));
  }

  lease(tenant: TenantId, reference: string): AdapterLease {
    const parsed = parseReference(reference, this.base.id);
    if (parsed === undefined) throw notFound();
    const adapter = parsed.tenant === null ? this.visible(tenant, parsed.name) : this.named(tenant, parsed.tenant, parsed.name);
    const row = this.select(adapter, parsed.selector);
    if (row === undefined) throw notFound();
    this.requireLoadedBase(row);
    this.requireServable(row);
    return this.leaseRow(row);
  }

  async readPeft(tenant: TenantId, reference: string): ReturnType<AdapterRegistry['readPeft']> {
    const lease = this.lease(tenant, reference);
    try {
      const { version } = lease;
      const row = this.storage.adapters.version(version.tenant, version.name, version.version);
      if (row === null) throw new Error(`registry: ${version.name}@${version.version} is leased but is not there`);
      return { version, ...(await readAsPeft(row.files, this.storage.blobs, this.base)) };
    } finally {
      lease.release();
    }
  }

  leaseCount(digest?: Digest): number {
    if (digest !== undefined) return this.leases.get(digest) ?? 0;
    return [...this.leases.values()].reduce((sum, count) => sum + count, 0);
  }

  async settled(): Promise<void> {
    await this.blobChanges.settled();
  }

  private leaseRow(row: AdapterVersionRow): AdapterLease {
    const digest = row.packedDigest;
    const endHold = this.garbage.holds.hold(digestsOf(row));
    this.leases.set(digest, this.leaseCount(digest) + 1);
    let active = true;
    return {
      version: versionOf(row),
      packedPath: this.storage.blobs.path(digest),
      release: () => {
        if (!active) return;
        active = false;
        const rest = this.leaseCount(digest) - 1;
        if (rest > 0) this.leases.set(digest, rest);
        else this.leases.delete(digest);
        endHold();
      },
    };
  }

  /** The tenant's own adapter of this name, else the sample that everybody may read. */
  private visible(tenant: TenantId, name: AdapterName): AdapterRow {
    const row = this.storage.adapters.adapter(tenant, name) ?? this.storage.adapters.adapter(SAMPLES_TENANT, name);
    if (row === null) throw notFound();
    return row;
  }

  /** `owner/name`: only the caller's own and the samples exist for the caller. */
  private named(tenant: TenantId, owner: TenantId, name: AdapterName): AdapterRow {
    const row = owner === tenant || owner === SAMPLES_TENANT ? this.storage.adapters.adapter(owner, name) : null;
    if (row === null) throw notFound();
    return row;
  }

  /** For changes: the tenant's own only. */
  private owned(tenant: TenantId, name: AdapterName): AdapterRow {
    const row = this.visible(tenant, name);
    if (row.tenant !== tenant)
      throw new AppError('forbidden', `"${name}" is shared with you and read-only: upload your own under this name to change it`);
    return row;
  }

  private select(adapter: AdapterRow, selector: VersionSelector): AdapterVersionRow | undefined {
    const { adapters } = this.storage;
    switch (selector.kind) {
      case 'active':
        return adapter.activeVersion === null
          ? undefined
          : (adapters.version(adapter.tenant, adapter.name, adapter.activeVersion) ?? undefined);
      case 'version':
        return adapters.version(adapter.tenant, adapter.name, selector.version) ?? undefined;
      case 'digest':
        return adapters.versions(adapter.tenant, adapter.name).findLast((row) => row.packedDigest === selector.digest);
    }
  }

  private requireFreeName(name: AdapterName): AdapterName {
    if (name === this.base.id)
      throw new AppError('invalid_request', `"${name}" is the name of the base model: choose another one`, { param: 'name' });
    return name;
  }

  private requireVersion(adapter: AdapterRow, version: number): AdapterVersionRow {
    const row = this.storage.adapters.version(adapter.tenant, adapter.name, version);
    if (row === null) throw new AppError('not_found', `"${adapter.name}" has no version ${version}`);
    return row;
  }

  private requireLoadedBase(row: AdapterVersionRow): void {
    if (row.baseDigest === this.base.digest) return;
    throw new AppError(
      'unsupported_adapter',
      `"${row.name}@${row.version}" was uploaded for another base model than ${this.base.id}: upload it again`,
    );
  }

  private requireServable(row: AdapterVersionRow): void {
    if (this.servesMerged || !versionOf(row).mergedOnly) return;
    throw new AppError(
      'unsupported_adapter',
      `"${row.name}@${row.version}" replaces whole tensors of the base (modules_to_save), which only a merged model can hold, and this server merges none`,
    );
  }

  private summariesOf(tenant: TenantId, shared: boolean): readonly AdapterSummary[] {
    const active = new Map(this.storage.adapters.activeVersions(tenant).map((row) => [row.name, row]));
    return this.storage.adapters.adapters(tenant).map((row) => summarize(row, active.get(row.name) ?? null, shared));
  }

  private summaryOf(row: AdapterRow, shared: boolean): AdapterSummary {
    const active = row.activeVersion === null ? null : this.storage.adapters.version(row.tenant, row.name, row.activeVersion);
    return summarize(row, active, shared);
  }
}

function summarize(row: AdapterRow, active: AdapterVersionRow | null, shared: boolean): AdapterSummary {
  const { tenant, name, versionCount, pinned, mode } = row;
  const etag = pointerEtag(row.generation, active?.packedDigest ?? null);
  return { tenant, name, active: active === null ? null : versionOf(active), versionCount, pinned, mode, shared, etag };
}

function versionOf(row: AdapterVersionRow): AdapterVersion {
  const { tenant, name, version, kind, rank, targetModules, createdAtMs } = row;
  if (!isKnownKind(kind)) throw new Error(`registry: ${name}@${version} is of the unknown kind ${kind}`);
  const mergedOnly = kind === 'lora-full';
  const bytes = row.files.reduce((sum, file) => sum + file.bytes, 0);
  return { tenant, name, version, digest: row.packedDigest, bytes, kind: 'lora', mergedOnly, rank, targetModules, createdAtMs };
}

function isKnownKind(kind: string): kind is AdapterKind {
  return kind === 'lora' || kind === 'lora-full';
}

function digestsOf(row: AdapterVersionRow): readonly Digest[] {
  return [row.packedDigest, ...row.files.map((file) => file.digest)];
}

function notFound(): AppError {
  return new AppError('adapter_not_found', NOT_FOUND);
}

function lostRace({ name, etag }: AdapterSummary): AppError {
  return new AppError('precondition_failed', `the pointer of "${name}" has moved: its etag is ${etag} now`);
}
