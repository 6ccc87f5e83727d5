// The SQL of the adapter store, prepared once. An adapter exists while it has versions; its row outlives it (see migrations).
import type Database from 'better-sqlite3';
import type { AdapterName, TenantId } from '../../core/index.ts';
import type { AdapterRow, AdapterVersionRow } from '../ports.ts';

export interface StoredAdapter extends Omit<AdapterRow, 'pinned'> {
  readonly pinned: 0 | 1;
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
  SELECT tenant, name, active_version AS activeVersion, generation, next_version AS nextVersion, pinned, mode, versionCount
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

export type AdapterStatements = ReturnType<typeof adapterStatements>;

export function adapterStatements(database: Database.Database) {
  return { ...queries(database), ...changes(database) };
}

function queries(database: Database.Database) {
  return {
    selectAdapter: database.prepare<[AdapterKey], StoredAdapter>(`${ADAPTER} AND name = @name`),
    selectAdapters: database.prepare<[{ tenant: TenantId }], StoredAdapter>(`${ADAPTER} ORDER BY name`),
    selectActiveVersions: database.prepare<[{ tenant: TenantId }], StoredVersion>(
      `SELECT ${VERSION_COLUMNS} FROM adapters a
       JOIN adapter_versions v ON v.tenant = a.tenant AND v.name = a.name AND v.version = a.active_version
       WHERE a.tenant = @tenant ORDER BY v.name`,
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
    movePointer: database.prepare<[VersionKey]>(
      `UPDATE adapters SET active_version = @version, generation = generation + 1 WHERE ${THIS_ADAPTER}`,
    ),
    movePointerIf: database.prepare<[VersionKey & { generation: number }]>(
      `UPDATE adapters SET active_version = @version, generation = generation + 1 WHERE ${THIS_ADAPTER} AND generation = @generation
       AND EXISTS (SELECT 1 FROM adapter_versions WHERE ${THIS_ADAPTER} AND version = @version)`,
    ),
    clearPointer: database.prepare<[VersionKey]>(
      `UPDATE adapters SET active_version = NULL, generation = generation + 1 WHERE ${THIS_ADAPTER} AND active_version = @version`,
    ),
    resetAdapter: database.prepare<[AdapterKey]>(
      `UPDATE adapters SET active_version = NULL, generation = generation + 1, pinned = 0, mode = 'auto' WHERE ${THIS_ADAPTER}`,
    ),
    updatePlacement: database.prepare<[AdapterKey & { pinned: 0 | 1; mode: AdapterRow['mode'] }]>(
      `UPDATE adapters SET pinned = @pinned, mode = @mode WHERE ${THIS_ADAPTER}`,
    ),
    deleteVersions: database.prepare<[AdapterKey]>(`DELETE FROM adapter_versions WHERE ${THIS_ADAPTER}`),
    deleteVersion: database.prepare<[VersionKey]>(`DELETE FROM adapter_versions WHERE ${THIS_ADAPTER} AND version = @version`),
  };
}
