// The SQL of the adapter store, prepared once. An adapter exists while it has versions; its row outlives it (see migrations).
import type Database from 'better-sqlite3';
import type { AdapterName, TenantId } from '../../core/index.ts';
import type { AdapterRow, AdapterVersionRow } from '../ports.ts';

export interface StoredAdapter extends Omit<AdapterRow, 'pinned' | 'canary'> {
  readonly pinned: 0 | 1;
  readonly canaryVersion: number | null;
  readonly canaryShare: number | null;
}

/** Lists are JSON text. */
export interface StoredVersion extends Omit<AdapterVersionRow, 'files' | 'targetModules'> {
  readonly files: string;
  readonly targetModules: string;
}

interface AdapterKey {
  readonly tenant: TenantId;
  readonly name: AdapterName;
}

interface VersionKey extends AdapterKey {
  readonly version: number;
}

const ADAPTER = `
  SELECT tenant, name, active_version AS activeVersion, canary_version AS canaryVersion, canary_share AS canaryShare, generation,
    next_version AS nextVersion, pinned, mode, versionCount
  FROM (SELECT a.*, (SELECT count(*) FROM adapter_versions v WHERE v.tenant = a.tenant AND v.name = a.name) AS versionCount FROM adapters a)
  WHERE versionCount > 0 AND tenant = @tenant`;

const VERSION_COLUMNS = `
  v.tenant, v.name, v.version, v.packed_digest AS packedDigest, v.kind, v.rank, v.target_modules AS targetModules,
  v.base_digest AS baseDigest, v.created_at_ms AS createdAtMs,
  (SELECT json_group_array(json_object('fileName', f.file_name, 'digest', f.digest, 'bytes', f.bytes) ORDER BY f.file_name)
   FROM adapter_files f WHERE f.tenant = v.tenant AND f.name = v.name AND f.version = v.version) AS files`;

const LIVE_JOBS = "SELECT * FROM jobs WHERE status NOT IN ('succeeded', 'failed', 'cancelled')";

/** Every blob that a row needs. A job needs its inputs until it has ended. */
const REFERENCES = `
  SELECT packed_digest AS digest FROM adapter_versions UNION ALL SELECT digest FROM adapter_files UNION ALL SELECT digest FROM files
  UNION ALL SELECT training_digest FROM (${LIVE_JOBS}) UNION ALL SELECT validation_digest FROM (${LIVE_JOBS})
  UNION ALL SELECT initial_config FROM (${LIVE_JOBS}) UNION ALL SELECT initial_tensors FROM (${LIVE_JOBS})`;

const THIS_ADAPTER = 'tenant = @tenant AND name = @name';

/** Part of a SET: another generation, without a canary. */
const NO_CANARY = 'canary_version = NULL, canary_share = NULL, generation = generation + 1';

export type AdapterStatements = ReturnType<typeof adapterStatements>;

export function adapterStatements(database: Database.Database) {
  return { ...queries(database), ...changes(database) };
}

function queries(database: Database.Database) {
  return {
    selectAdapter: database.prepare<[AdapterKey], StoredAdapter>(`${ADAPTER} AND name = @name`),
    /** A negative limit is none. */
    selectAdapters: database.prepare<[{ tenant: TenantId; after: string; limit: number }], StoredAdapter>(
      `${ADAPTER} AND name > @after ORDER BY name LIMIT @limit`,
    ),
    selectActiveVersions: database.prepare<[{ tenant: TenantId; after: string; through: string | null }], StoredVersion>(
      `SELECT ${VERSION_COLUMNS} FROM adapters a
       JOIN adapter_versions v ON v.tenant = a.tenant AND v.name = a.name AND v.version = a.active_version
       WHERE a.tenant = @tenant AND a.name > @after AND (@through IS NULL OR a.name <= @through) ORDER BY a.name`,
    ),
    selectPinnedVersions: database.prepare<[], StoredVersion>(
      `SELECT ${VERSION_COLUMNS} FROM adapters a
       JOIN adapter_versions v ON v.tenant = a.tenant AND v.name = a.name AND v.version IN (a.active_version, a.canary_version)
       WHERE a.pinned = 1 ORDER BY a.tenant, a.name, v.version`,
    ),
    selectPlacedVersions: database.prepare<[], StoredVersion & { readonly mode: 'side' | 'merged' }>(
      `SELECT ${VERSION_COLUMNS}, a.mode FROM adapters a
       JOIN adapter_versions v ON v.tenant = a.tenant AND v.name = a.name AND v.version IN (a.active_version, a.canary_version)
       WHERE a.mode <> 'auto' ORDER BY a.tenant, a.name, v.version`,
    ),
    selectVersion: database.prepare<[VersionKey], StoredVersion>(
      `SELECT ${VERSION_COLUMNS} FROM adapter_versions v WHERE ${THIS_ADAPTER} AND version = @version`,
    ),
    selectVersions: database.prepare<[AdapterKey], StoredVersion>(
      `SELECT ${VERSION_COLUMNS} FROM adapter_versions v WHERE ${THIS_ADAPTER} ORDER BY version`,
    ),
    selectDigests: database.prepare<[], string>(`SELECT digest FROM (${REFERENCES}) WHERE digest IS NOT NULL GROUP BY digest`).pluck(),
    selectReference: database.prepare<[{ digest: string }], number>(`SELECT 1 FROM (${REFERENCES}) WHERE digest = @digest LIMIT 1`),
  };
}

function changes(database: Database.Database) {
  return {
    takeVersionNumber: database.prepare<[AdapterKey], { version: number }>(
      `INSERT INTO adapters (tenant, name, next_version) VALUES (@tenant, @name, 2)
       ON CONFLICT (tenant, name) DO UPDATE SET next_version = next_version + 1 RETURNING next_version - 1 AS version`,
    ),
    insertVersion: database.prepare<[Omit<StoredVersion, 'files'>]>(
      `INSERT INTO adapter_versions (tenant, name, version, packed_digest, kind, rank, target_modules, base_digest, created_at_ms)
       VALUES (@tenant, @name, @version, @packedDigest, @kind, @rank, @targetModules, @baseDigest, @createdAtMs)`,
    ),
    insertFile: database.prepare<[VersionKey & { fileName: string; digest: string; bytes: number }]>(
      `INSERT INTO adapter_files (tenant, name, version, file_name, digest, bytes)
       VALUES (@tenant, @name, @version, @fileName, @digest, @bytes)`,
    ),
    movePointer: database.prepare<[VersionKey]>(`UPDATE adapters SET active_version = @version, ${NO_CANARY} WHERE ${THIS_ADAPTER}`),
    movePointerIf: database.prepare<[VersionKey & { generation: number; canaryVersion: number | null; canaryShare: number | null }]>(
      `UPDATE adapters SET active_version = @version, canary_version = @canaryVersion, canary_share = @canaryShare, generation = generation + 1
       WHERE ${THIS_ADAPTER} AND generation = @generation AND @canaryVersion IS NOT @version
       AND (SELECT count(*) FROM adapter_versions WHERE ${THIS_ADAPTER} AND version IN (@version, @canaryVersion))
         = iif(@canaryVersion IS NULL, 1, 2)`,
    ),
    clearPointer: database.prepare<[AdapterKey]>(
      `UPDATE adapters SET active_version = NULL, ${NO_CANARY} WHERE ${THIS_ADAPTER} AND active_version IS NOT NULL`,
    ),
    clearPointerOf: database.prepare<[VersionKey]>(
      `UPDATE adapters SET active_version = NULL, ${NO_CANARY} WHERE ${THIS_ADAPTER} AND active_version = @version`,
    ),
    endCanaryOf: database.prepare<[VersionKey]>(`UPDATE adapters SET ${NO_CANARY} WHERE ${THIS_ADAPTER} AND canary_version = @version`),
    resetAdapter: database.prepare<[AdapterKey]>(
      `UPDATE adapters SET active_version = NULL, ${NO_CANARY}, pinned = 0, mode = 'auto' WHERE ${THIS_ADAPTER}`,
    ),
    updatePlacement: database.prepare<[AdapterKey & { pinned: 0 | 1; mode: AdapterRow['mode'] }]>(
      `UPDATE adapters SET pinned = @pinned, mode = @mode WHERE ${THIS_ADAPTER}`,
    ),
    deleteVersions: database.prepare<[AdapterKey]>(`DELETE FROM adapter_versions WHERE ${THIS_ADAPTER}`),
    deleteVersion: database.prepare<[VersionKey]>(`DELETE FROM adapter_versions WHERE ${THIS_ADAPTER} AND version = @version`),
  };
}
