// The adapter registry: names, versions, pointer and leases of all tenants over one storage. Upload is in publication.ts.
import type { Readable } from 'node:stream';
import { AppError, silentLogger, systemClock, type AdapterName, type Digest, type TenantId } from '../core/index.ts';
import type { BaseModelDescription } from '../models/index.ts';
import type { AdapterRow, AdapterVersionRow, Storage } from '../storage/index.ts';
import { adapterNotFound, Catalogue } from './catalogue.ts';
import { computeMix } from './combining/compute-mix.ts';
import type { Mix } from './combining/mix.ts';
import { MixLeases, type LeasedRow } from './combining/mix-leases.ts';
import { ifMatchPasses } from './etag.ts';
import { exportFiles, needsConversion, readAsPeft } from './adapter-files.ts';
import { BlobKeeper } from './blob-keeper.ts';
import { GarbageCollector } from './garbage.ts';
import { listAdapters } from './listing.ts';
import { AdapterLoader } from './loading.ts';
import { PinBoard } from './pin-board.ts';
import { PlacementBoard } from './placement-board.ts';
import type {
  AdapterLease,
  AdapterRegistry,
  AdapterSummary,
  AdapterVersion,
  Canary,
  ExportedAdapter,
  ExportFormat,
  MixLease,
  UploadPart,
} from './port.ts';
import { type Publication, Publisher } from './publication.ts';
import { SerialQueue } from './serial-queue.ts';
import type { AdapterRegistryParts } from './registry-parts.ts';
import { digestsOf, lostRace, summarize, versionOf } from './summary.ts';
import { checkCanary } from './traffic-split.ts';

const DEFAULT_MAX_FILE_BYTES = 2 ** 30;
const ALL = Number.MAX_SAFE_INTEGER;
const DEFAULT_MIX_CACHE_BYTES = 2 ** 30;

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
  private readonly catalogue: Catalogue;
  private readonly publisher: Publisher;
  private readonly loader: AdapterLoader;
  private readonly pins: PinBoard;
  private readonly placements: PlacementBoard;
  private readonly mixes: MixLeases;
  private readonly servesMerged: boolean;
  private readonly onActivated: (digest: Digest) => void;
  private readonly leases = new Map<Digest, number>();

  constructor(parts: AdapterRegistryParts, blobChanges: SerialQueue, garbage: GarbageCollector) {
    const { storage, base, weights, maxRank, maxFileBytes = DEFAULT_MAX_FILE_BYTES, servesMerged = false, clock = systemClock } = parts;
    this.servesMerged = servesMerged;
    this.onActivated = parts.onActivated ?? (() => undefined);
    this.storage = storage;
    this.base = base;
    this.catalogue = new Catalogue(storage.adapters, base.id);
    this.blobChanges = blobChanges;
    this.garbage = garbage;
    this.publisher = new Publisher({ storage, packing: { base, weights, maxRank, clock }, maxFileBytes, garbage, blobChanges });
    const { mixCacheBytes = DEFAULT_MIX_CACHE_BYTES, computeMix: compute = computeMix } = parts;
    this.mixes = new MixLeases({ blobs: storage.blobs, blobChanges, garbage, base, maxRank, compute, maxBytes: mixCacheBytes });
    this.uploadFolder = storage.blobs.temporaryFolder;
    this.loader = new AdapterLoader({
      publisher: this.publisher,
      uploadFolder: this.uploadFolder,
      importFolder: parts.importFolder ?? null,
      maxFileBytes,
      isActive: (tenant, name) => (storage.adapters.adapter(tenant, name)?.activeVersion ?? null) !== null,
      holdRow: (tenant, reference) => this.holdRow(tenant, reference),
    });
    const isServable = (row: AdapterVersionRow): boolean => row.baseDigest === base.digest && (servesMerged || !versionOf(row).mergedOnly);
    this.pins = new PinBoard(storage.adapters, isServable, parts.onPins ?? (() => undefined));
    this.placements = new PlacementBoard(storage.adapters, isServable, parts.onPlacements ?? (() => undefined));
    this.refreshBoards();
    this.keeper = new BlobKeeper(storage.blobs, blobChanges, garbage);
  }

  async upload(
    tenant: TenantId,
    name: AdapterName,
    parts: readonly UploadPart[],
    options: { readonly activate: boolean },
  ): Promise<{ readonly version: AdapterVersion; readonly created: boolean }> {
    return this.published(await this.publisher.publish(tenant, this.requireFreeName(name), parts, options.activate));
  }

  async load(
    tenant: TenantId,
    name: AdapterName,
    source: string,
    options: { readonly inPlace: boolean },
  ): Promise<{ readonly version: AdapterVersion; readonly created: boolean }> {
    return this.published(await this.loader.load(tenant, this.requireFreeName(name), source, options));
  }

  unload(tenant: TenantId, name: AdapterName): AdapterSummary {
    this.catalogue.owned(tenant, name);
    const row = this.storage.adapters.deactivate(tenant, name);
    if (row === null) throw adapterNotFound();
    this.refreshBoards();
    return this.summaryOf(row, false);
  }

  list(tenant: TenantId, page: Parameters<AdapterRegistry['list']>[1] = { limit: ALL }): readonly AdapterSummary[] {
    return listAdapters(this.storage.adapters, tenant, page);
  }

  get(tenant: TenantId, name: AdapterName): AdapterSummary {
    const row = this.catalogue.visible(tenant, name);
    return this.summaryOf(row, row.tenant !== tenant);
  }

  versions(tenant: TenantId, name: AdapterName): readonly AdapterVersion[] {
    const row = this.catalogue.visible(tenant, name);
    return this.storage.adapters.versions(row.tenant, name).map(versionOf);
  }

  openFile(tenant: TenantId, name: AdapterName, version: number, fileName: string): { readonly stream: Readable; readonly bytes: number } {
    const row = this.catalogue.requireVersion(this.catalogue.visible(tenant, name), version);
    const file = row.files.find((candidate) => candidate.fileName === fileName);
    if (file === undefined) {
      throw new AppError('not_found', `version ${version} has the files ${row.files.map((each) => each.fileName).join(', ')}`);
    }
    return this.storage.blobs.open(file.digest);
  }

  async exportVersion(tenant: TenantId, name: AdapterName, version: number, format: ExportFormat): Promise<ExportedAdapter> {
    const row = this.catalogue.requireVersion(this.catalogue.visible(tenant, name), version);
    if (needsConversion(row.files, format)) this.requireLoadedBase(row);
    const endHold = this.garbage.holds.hold(digestsOf(row));
    try {
      return await exportFiles(row, format, this.storage.blobs, this.base);
    } finally {
      endHold();
    }
  }

  activate(tenant: TenantId, name: AdapterName, version: number, ifMatch: string, canary: Canary | null = null): AdapterSummary {
    if (ifMatch.trim() === '') {
      throw new AppError('precondition_required', 'moving the pointer needs If-Match with the etag that you saw, or *');
    }
    const row = this.catalogue.owned(tenant, name);
    const before = this.summaryOf(row, false);
    if (!ifMatchPasses(ifMatch, before.etag)) throw lostRace(before);
    const active = this.catalogue.requireVersion(row, version);
    this.requireLoadedBase(active);
    const tried = canary === null ? null : this.requireCanary(row, version, canary);
    const moved = this.storage.adapters.activate(tenant, name, version, row.generation, canary);
    if (moved === null) throw lostRace(this.get(tenant, name));
    this.refreshBoards();
    for (const each of [active, tried]) if (each) this.onActivated(each.packedDigest);
    return this.summaryOf(moved, false);
  }

  setPlacement(tenant: TenantId, name: AdapterName, placement: Parameters<AdapterRegistry['setPlacement']>[2]): AdapterSummary {
    this.catalogue.owned(tenant, name);
    const row = this.storage.adapters.setPlacement(tenant, name, placement);
    if (row === null) throw adapterNotFound();
    this.refreshBoards();
    return this.summaryOf(row, false);
  }

  remove(tenant: TenantId, name: AdapterName): void {
    this.catalogue.owned(tenant, name);
    const digests = this.storage.adapters.versions(tenant, name).flatMap(digestsOf);
    this.storage.adapters.removeAdapter(tenant, name);
    this.refreshBoards();
    this.mixes.forget(digests);
    this.garbage.suspect(digests);
  }

  removeVersion(tenant: TenantId, name: AdapterName, version: number): void {
    const row = this.catalogue.requireVersion(this.catalogue.owned(tenant, name), version);
    this.storage.adapters.removeVersion(tenant, name, version);
    this.refreshBoards();
    this.mixes.forget(digestsOf(row));
    this.garbage.suspect(digestsOf(row));
  }

  lease(tenant: TenantId, reference: string, splitKey?: string): AdapterLease {
    return this.leaseNamed(tenant, reference, splitKey).lease;
  }

  async leaseMix(tenant: TenantId, mix: Mix, splitKey?: string): Promise<MixLease> {
    return await this.mixes.lease(tenant, mix, (reference) => this.leaseNamed(tenant, reference, splitKey));
  }

  private leaseNamed(tenant: TenantId, reference: string, splitKey?: string): LeasedRow {
    const row = this.catalogue.resolve(tenant, reference, splitKey);
    this.requireLoadedBase(row);
    this.requireServable(row);
    return { lease: this.leaseRow(row), row };
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

  /** After every change of a pointer, a pin or a mode. */
  private refreshBoards(): void {
    this.pins.refresh();
    this.placements.refresh();
  }

  private published({ row, created }: Publication): { readonly version: AdapterVersion; readonly created: boolean } {
    this.refreshBoards();
    if (this.storage.adapters.adapter(row.tenant, row.name)?.activeVersion === row.version) this.onActivated(row.packedDigest);
    return { version: versionOf(row), created };
  }

  private holdRow(tenant: TenantId, reference: string): { readonly row: AdapterVersionRow; readonly release: () => void } {
    const row = this.catalogue.resolve(tenant, reference);
    this.requireLoadedBase(row);
    return { row, release: this.garbage.holds.hold(digestsOf(row)) };
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

  private requireFreeName(name: AdapterName): AdapterName {
    if (name === this.base.id)
      throw new AppError('invalid_request', `"${name}" is the name of the base model: choose another one`, { param: 'name' });
    return name;
  }

  private requireCanary(row: AdapterRow, version: number, canary: Canary): AdapterVersionRow {
    checkCanary(version, canary);
    const tried = this.catalogue.requireVersion(row, canary.version);
    this.requireLoadedBase(tried);
    return tried;
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

  private summaryOf(row: AdapterRow, shared: boolean): AdapterSummary {
    const active = row.activeVersion === null ? null : this.storage.adapters.version(row.tenant, row.name, row.activeVersion);
    return summarize(row, active, shared);
  }
}
