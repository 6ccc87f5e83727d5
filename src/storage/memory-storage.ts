// A storage driver that keeps rows in memory and blobs in a given folder: for tests of other rooms and for throw-away servers.
import type { AdapterName, Digest, TenantId } from '../core/index.ts';
import { byFileName } from './adapter-files.ts';
import { noDiskSync } from './disk-sync.ts';
import { openFileBlobStore } from './file-blob-store.ts';
import { MemoryFileStore, MemoryJobStore } from './memory-training.ts';
import type {
  AdapterRow,
  AdapterStore,
  AdapterVersionRow,
  CanaryRow,
  KeyRow,
  KeyStore,
  NamePage,
  PlacedVersion,
  Storage,
} from './ports.ts';

/** Rows vanish with the process; blobs lie below `blobRoot`, whose leftovers of earlier processes are no blobs of this one's rows. */
export function openMemoryStorage(blobRoot: string): Storage {
  const files = new MemoryFileStore();
  const jobs = new MemoryJobStore(files);
  const trainingDigests = (): readonly Digest[] => [...files.rows.map(({ digest }) => digest), ...jobs.liveDigests()];
  return {
    adapters: new MemoryAdapterStore(trainingDigests),
    keys: createMemoryKeyStore(),
    files,
    jobs,
    blobs: openFileBlobStore(blobRoot, noDiskSync),
    close: () => undefined,
  };
}

interface MemoryAdapter {
  row: Omit<AdapterRow, 'versionCount'>;
  readonly versions: Map<number, AdapterVersionRow>;
}

class MemoryAdapterStore implements AdapterStore {
  /** Removed adapters stay here without versions, as in SQLite. */
  private readonly entries = new Map<string, MemoryAdapter>();
  private readonly otherDigests: () => readonly Digest[];

  /** @param otherDigests - what rows of other stores refer to. */
  constructor(otherDigests: () => readonly Digest[]) {
    this.otherDigests = otherDigests;
  }

  addVersion(content: Omit<AdapterVersionRow, 'version'>, options: { readonly activate: boolean }): AdapterVersionRow {
    const { tenant, name } = content;
    const entry = this.entries.get(keyOf(tenant, name)) ?? newEntry(tenant, name);
    this.entries.set(keyOf(tenant, name), entry);
    const version = entry.row.nextVersion;
    const row = { ...content, version, files: content.files.toSorted(byFileName) };
    entry.versions.set(version, row);
    entry.row = { ...entry.row, nextVersion: version + 1 };
    if (options.activate) movePointer(entry, version);
    return row;
  }

  adapter(tenant: TenantId, name: AdapterName): AdapterRow | null {
    const entry = this.existing(tenant, name);
    return entry === undefined ? null : rowOf(entry);
  }

  adapters(tenant: TenantId, { after = '', limit }: NamePage = { limit: Infinity }): readonly AdapterRow[] {
    return this.entriesOf(tenant)
      .map(rowOf)
      .filter(({ name }) => name > after)
      .slice(0, limit);
  }

  activeVersions(tenant: TenantId, range: Parameters<AdapterStore['activeVersions']>[1]): readonly AdapterVersionRow[] {
    const isAsked = (name: string): boolean => range === undefined || (name > range.after && name <= range.through);
    return this.entriesOf(tenant)
      .filter(({ row }) => isAsked(row.name))
      .flatMap((entry) => entry.versions.get(entry.row.activeVersion ?? 0) ?? []);
  }

  pinnedVersions(): readonly AdapterVersionRow[] {
    return this.sorted()
      .filter(({ row }) => row.pinned)
      .flatMap(servedVersions);
  }

  placedVersions(): readonly PlacedVersion[] {
    return this.sorted().flatMap((entry) => {
      const { mode } = entry.row;
      return mode === 'auto' ? [] : servedVersions(entry).map((row) => ({ row, mode }));
    });
  }

  private sorted(): readonly MemoryAdapter[] {
    return [...this.entries.values()].toSorted((left, right) =>
      keyOf(left.row.tenant, left.row.name) < keyOf(right.row.tenant, right.row.name) ? -1 : 1,
    );
  }

  version(tenant: TenantId, name: AdapterName, version: number): AdapterVersionRow | null {
    return this.existing(tenant, name)?.versions.get(version) ?? null;
  }

  versions(tenant: TenantId, name: AdapterName): readonly AdapterVersionRow[] {
    return [...(this.existing(tenant, name)?.versions.values() ?? [])];
  }

  activate(tenant: TenantId, name: AdapterName, version: number, generation: number, canary: CanaryRow | null = null): AdapterRow | null {
    const entry = this.existing(tenant, name);
    if (entry === undefined || entry.row.generation !== generation || !entry.versions.has(version)) return null;
    if (canary !== null && (canary.version === version || !entry.versions.has(canary.version))) return null;
    movePointer(entry, version, canary);
    return rowOf(entry);
  }

  deactivate(tenant: TenantId, name: AdapterName): AdapterRow | null {
    const entry = this.existing(tenant, name);
    if (entry === undefined || entry.row.activeVersion === null) return null;
    movePointer(entry, null);
    return rowOf(entry);
  }

  setPlacement(tenant: TenantId, name: AdapterName, placement: Parameters<AdapterStore['setPlacement']>[2]): AdapterRow | null {
    const entry = this.existing(tenant, name);
    if (entry === undefined) return null;
    entry.row = { ...entry.row, ...placement };
    return rowOf(entry);
  }

  removeAdapter(tenant: TenantId, name: AdapterName): boolean {
    const entry = this.existing(tenant, name);
    if (entry === undefined) return false;
    entry.versions.clear();
    resetEntry(entry);
    return true;
  }

  removeVersion(tenant: TenantId, name: AdapterName, version: number): boolean {
    const entry = this.existing(tenant, name);
    if (entry === undefined || !entry.versions.delete(version)) return false;
    if (entry.versions.size === 0) resetEntry(entry);
    else if (entry.row.activeVersion === version) movePointer(entry, null);
    else if (entry.row.canary?.version === version) movePointer(entry, entry.row.activeVersion);
    return true;
  }

  referencedDigests(): ReadonlySet<Digest> {
    const versions = [...this.entries.values()].flatMap((entry) => [...entry.versions.values()]);
    const own = versions.flatMap((version) => [version.packedDigest, ...version.files.map((file) => file.digest)]);
    return new Set([...own, ...this.otherDigests()]);
  }

  isReferenced(digest: Digest): boolean {
    return this.referencedDigests().has(digest);
  }

  private existing(tenant: TenantId, name: AdapterName): MemoryAdapter | undefined {
    const entry = this.entries.get(keyOf(tenant, name));
    return entry === undefined || entry.versions.size === 0 ? undefined : entry;
  }

  private entriesOf(tenant: TenantId): readonly MemoryAdapter[] {
    return [...this.entries.values()]
      .filter((entry) => entry.row.tenant === tenant && entry.versions.size > 0)
      .toSorted((left, right) => (left.row.name < right.row.name ? -1 : 1));
  }
}

function keyOf(tenant: TenantId, name: AdapterName): string {
  return `${tenant}/${name}`;
}

function servedVersions({ row, versions }: MemoryAdapter): readonly AdapterVersionRow[] {
  return [...versions.values()].filter(({ version }) => version === row.activeVersion || version === row.canary?.version);
}

function newEntry(tenant: TenantId, name: AdapterName): MemoryAdapter {
  const row = { tenant, name, activeVersion: null, canary: null, generation: 0, nextVersion: 1, pinned: false, mode: 'auto' } as const;
  return { row, versions: new Map() };
}

function rowOf(entry: MemoryAdapter): AdapterRow {
  return { ...entry.row, versionCount: entry.versions.size };
}

function movePointer(entry: MemoryAdapter, version: number | null, canary: CanaryRow | null = null): void {
  entry.row = { ...entry.row, activeVersion: version, canary, generation: entry.row.generation + 1 };
}

function resetEntry(entry: MemoryAdapter): void {
  movePointer(entry, null);
  entry.row = { ...entry.row, pinned: false, mode: 'auto' };
}

function createMemoryKeyStore(): KeyStore {
  const rows = new Map<string, KeyRow>();
  return {
    add: (row) => {
      const taken = rows.has(row.id) || [...rows.values()].some((other) => other.secretDigest === row.secretDigest);
      if (taken) throw new Error('key store: the id or the secret is taken');
      rows.set(row.id, row);
    },
    all: () => [...rows.values()].toSorted((left, right) => left.createdAtMs - right.createdAtMs || (left.id < right.id ? -1 : 1)),
    remove: (id) => rows.delete(id),
    touch: (id, usedAtMs) => {
      const row = rows.get(id);
      if (row !== undefined) rows.set(id, { ...row, lastUsedAtMs: usedAtMs });
    },
  };
}
