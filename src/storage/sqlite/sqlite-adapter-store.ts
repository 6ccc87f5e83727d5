// Adapters, their versions and their pointers in SQLite. Each verb is one transaction and is durable on return.
import type Database from 'better-sqlite3';
import type { AdapterName, Digest, TenantId } from '../../core/index.ts';
import type { AdapterRow, AdapterStore, AdapterVersionRow, CanaryRow, NamePage, PlacedVersion } from '../ports.ts';
import { byFileName } from '../adapter-files.ts';
import { adapterStatements, type AdapterStatements, type StoredAdapter, type StoredVersion } from './adapter-statements.ts';

export function createSqliteAdapterStore(database: Database.Database): AdapterStore {
  return new SqliteAdapterStore(database);
}

class SqliteAdapterStore implements AdapterStore {
  private readonly database: Database.Database;
  private readonly statements: AdapterStatements;

  constructor(database: Database.Database) {
    this.database = database;
    this.statements = adapterStatements(database);
  }

  addVersion(row: Omit<AdapterVersionRow, 'version'>, options: { readonly activate: boolean }): AdapterVersionRow {
    return this.atomically(() => {
      const { tenant, name } = row;
      const taken = this.statements.takeVersionNumber.get({ tenant, name });
      if (taken === undefined) throw new Error('adapter store: no version number was given');
      const { version } = taken;
      this.statements.insertVersion.run({ ...row, version, targetModules: JSON.stringify(row.targetModules) });
      for (const file of row.files) this.statements.insertFile.run({ tenant, name, version, ...file });
      if (options.activate) this.statements.movePointer.run({ tenant, name, version });
      return { ...row, version, files: row.files.toSorted(byFileName) };
    });
  }

  adapter(tenant: TenantId, name: AdapterName): AdapterRow | null {
    const stored = this.statements.selectAdapter.get({ tenant, name });
    return stored === undefined ? null : readAdapter(stored);
  }

  adapters(tenant: TenantId, page: NamePage = { limit: -1 }): readonly AdapterRow[] {
    return this.statements.selectAdapters.all({ tenant, after: page.after ?? '', limit: page.limit }).map(readAdapter);
  }

  activeVersions(tenant: TenantId, range: Parameters<AdapterStore['activeVersions']>[1]): readonly AdapterVersionRow[] {
    const { after, through } = range ?? { after: '', through: null };
    return this.statements.selectActiveVersions.all({ tenant, after, through }).map(readVersion);
  }

  pinnedVersions(): readonly AdapterVersionRow[] {
    return this.statements.selectPinnedVersions.all().map(readVersion);
  }

  placedVersions(): readonly PlacedVersion[] {
    return this.statements.selectPlacedVersions.all().map(({ mode, ...stored }) => ({ row: readVersion(stored), mode }));
  }

  version(tenant: TenantId, name: AdapterName, version: number): AdapterVersionRow | null {
    const stored = this.statements.selectVersion.get({ tenant, name, version });
    return stored === undefined ? null : readVersion(stored);
  }

  versions(tenant: TenantId, name: AdapterName): readonly AdapterVersionRow[] {
    return this.statements.selectVersions.all({ tenant, name }).map(readVersion);
  }

  activate(tenant: TenantId, name: AdapterName, version: number, generation: number, canary: CanaryRow | null = null): AdapterRow | null {
    const split = { canaryVersion: canary?.version ?? null, canaryShare: canary?.share ?? null };
    return this.atomically(() => {
      const moved = this.statements.movePointerIf.run({ tenant, name, version, generation, ...split }).changes === 1;
      return moved ? this.adapter(tenant, name) : null;
    });
  }

  deactivate(tenant: TenantId, name: AdapterName): AdapterRow | null {
    return this.atomically(() => (this.statements.clearPointer.run({ tenant, name }).changes === 1 ? this.adapter(tenant, name) : null));
  }

  setPlacement(tenant: TenantId, name: AdapterName, placement: Parameters<AdapterStore['setPlacement']>[2]): AdapterRow | null {
    return this.atomically(() => {
      const present = this.adapter(tenant, name);
      if (present === null) return null;
      const { pinned, mode } = { ...present, ...placement };
      this.statements.updatePlacement.run({ tenant, name, pinned: pinned ? 1 : 0, mode });
      return this.adapter(tenant, name);
    });
  }

  removeAdapter(tenant: TenantId, name: AdapterName): boolean {
    return this.atomically(() => {
      const removed = this.statements.deleteVersions.run({ tenant, name }).changes > 0;
      if (removed) this.statements.resetAdapter.run({ tenant, name });
      return removed;
    });
  }

  removeVersion(tenant: TenantId, name: AdapterName, version: number): boolean {
    return this.atomically(() => {
      if (this.statements.deleteVersion.run({ tenant, name, version }).changes === 0) return false;
      if (this.adapter(tenant, name) === null) this.statements.resetAdapter.run({ tenant, name });
      else {
        this.statements.clearPointerOf.run({ tenant, name, version });
        this.statements.endCanaryOf.run({ tenant, name, version });
      }
      return true;
    });
  }

  referencedDigests(): ReadonlySet<Digest> {
    return new Set(this.statements.selectDigests.all() as Digest[]);
  }

  isReferenced(digest: Digest): boolean {
    return this.statements.selectReference.get({ digest }) !== undefined;
  }

  private atomically<Result>(work: () => Result): Result {
    return this.database.transaction(work).immediate();
  }
}

// Field by field: a row of better-sqlite3 is a dictionary to V8, and so is every spread of it, with a hidden class of its own that only a full
// collection frees. Lists of thousands of rows took three times as long and 30 MB more.
function readAdapter(stored: StoredAdapter): AdapterRow {
  const { canaryVersion, canaryShare } = stored;
  return {
    tenant: stored.tenant,
    name: stored.name,
    activeVersion: stored.activeVersion,
    canary: canaryVersion === null || canaryShare === null ? null : { version: canaryVersion, share: canaryShare },
    generation: stored.generation,
    nextVersion: stored.nextVersion,
    versionCount: stored.versionCount,
    pinned: stored.pinned === 1,
    mode: stored.mode,
  };
}

function readVersion(stored: StoredVersion): AdapterVersionRow {
  return {
    tenant: stored.tenant,
    name: stored.name,
    version: stored.version,
    packedDigest: stored.packedDigest,
    files: JSON.parse(stored.files) as AdapterVersionRow['files'],
    kind: stored.kind,
    rank: stored.rank,
    targetModules: JSON.parse(stored.targetModules) as readonly string[],
    baseDigest: stored.baseDigest,
    createdAtMs: stored.createdAtMs,
  };
}
