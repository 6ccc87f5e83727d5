// The database schema as numbered steps. A step that was released never changes; a new need is a new step.
import type Database from 'better-sqlite3';
import { AppError } from '../../core/index.ts';

interface Migration {
  readonly name: string;
  readonly sql: string;
}

/** Step n (counted from 1) takes a database from schema n - 1 to n. */
export const MIGRATIONS: readonly Migration[] = [
  {
    name: 'adapters and keys',
    sql: `
      -- A removed adapter keeps its row, so that version numbers and generations never repeat; it has no versions then.
      CREATE TABLE adapters (
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        active_version INTEGER,
        generation INTEGER NOT NULL DEFAULT 0,
        next_version INTEGER NOT NULL DEFAULT 1,
        pinned INTEGER NOT NULL DEFAULT 0 CHECK (pinned IN (0, 1)),
        mode TEXT NOT NULL DEFAULT 'auto' CHECK (mode IN ('auto', 'side', 'merged')),
        PRIMARY KEY (tenant, name)
      ) STRICT, WITHOUT ROWID;

      CREATE TABLE adapter_versions (
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        version INTEGER NOT NULL CHECK (version > 0),
        packed_digest TEXT NOT NULL,
        kind TEXT NOT NULL,
        rank INTEGER NOT NULL,
        target_modules TEXT NOT NULL,
        base_digest TEXT NOT NULL,
        created_at_ms INTEGER NOT NULL,
        PRIMARY KEY (tenant, name, version),
        FOREIGN KEY (tenant, name) REFERENCES adapters (tenant, name)
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX adapter_versions_by_packed_digest ON adapter_versions (packed_digest);

      CREATE TABLE adapter_files (
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        version INTEGER NOT NULL,
        file_name TEXT NOT NULL,
        digest TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        PRIMARY KEY (tenant, name, version, file_name),
        FOREIGN KEY (tenant, name, version) REFERENCES adapter_versions (tenant, name, version) ON DELETE CASCADE
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX adapter_files_by_digest ON adapter_files (digest);

      CREATE TABLE keys (
        id TEXT PRIMARY KEY,
        tenant TEXT NOT NULL,
        role TEXT NOT NULL,
        secret_digest TEXT NOT NULL UNIQUE,
        created_at_ms INTEGER NOT NULL,
        last_used_at_ms INTEGER
      ) STRICT, WITHOUT ROWID;
    `,
  },
  {
    name: 'canaries, and an index of pins',
    sql: `
      ALTER TABLE adapters ADD COLUMN canary_version INTEGER;
      ALTER TABLE adapters ADD COLUMN canary_share REAL CHECK ((canary_version IS NULL) = (canary_share IS NULL));
      CREATE INDEX adapters_pinned ON adapters (pinned) WHERE pinned = 1;
    `,
  },
  {
    name: 'an index of placements',
    sql: `CREATE INDEX adapters_placed ON adapters (mode) WHERE mode <> 'auto';`,
  },
  {
    name: 'training files and jobs',
    sql: `
      -- The rowid is the order in which they came.
      CREATE TABLE files (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        tenant TEXT NOT NULL,
        digest TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        file_name TEXT NOT NULL,
        purpose TEXT NOT NULL CHECK (purpose IN ('fine-tune', 'fine-tune-results')),
        created_at_ms INTEGER NOT NULL
      ) STRICT;
      CREATE INDEX files_by_tenant ON files (tenant, number);
      CREATE INDEX files_by_digest ON files (digest);

      CREATE TABLE jobs (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        tenant TEXT NOT NULL,
        adapter_name TEXT NOT NULL,
        base_digest TEXT NOT NULL,
        training_digest TEXT NOT NULL,
        validation_digest TEXT,
        initial_config TEXT,
        initial_tensors TEXT,
        request TEXT NOT NULL,
        created_at_ms INTEGER NOT NULL,
        status TEXT NOT NULL
          CHECK (status IN ('validating_files', 'queued', 'running', 'paused', 'succeeded', 'failed', 'cancelled')),
        wanted TEXT NOT NULL DEFAULT 'run' CHECK (wanted IN ('run', 'pause')),
        fence INTEGER NOT NULL DEFAULT 0,
        deaths INTEGER NOT NULL DEFAULT 0,
        lease_until_ms INTEGER,
        interrupted INTEGER NOT NULL DEFAULT 0 CHECK (interrupted IN (0, 1)),
        claim_number INTEGER NOT NULL DEFAULT 0,
        total_steps INTEGER,
        step INTEGER NOT NULL DEFAULT 0,
        started_at_ms INTEGER,
        finished_at_ms INTEGER,
        result TEXT,
        error_code TEXT,
        error_message TEXT,
        error_param TEXT,
        published_version INTEGER,
        published_digest TEXT,
        result_files TEXT NOT NULL DEFAULT '[]',
        CHECK ((status = 'running') = (lease_until_ms IS NOT NULL))
      ) STRICT;
      CREATE INDEX jobs_by_tenant ON jobs (tenant, number);
      CREATE INDEX jobs_by_status ON jobs (status);

      CREATE TABLE job_events (
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        level TEXT NOT NULL CHECK (level IN ('info', 'warn', 'error')),
        message TEXT NOT NULL,
        step INTEGER,
        data TEXT,
        PRIMARY KEY (job, number)
      ) STRICT, WITHOUT ROWID;
      CREATE UNIQUE INDEX job_events_by_step ON job_events (job, step) WHERE step IS NOT NULL;

      CREATE TABLE job_checkpoints (
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        step INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        valid_loss REAL,
        PRIMARY KEY (job, step)
      ) STRICT, WITHOUT ROWID;
    `,
  },
];

/**
 * Brings the database to the newest schema, each step in its own transaction.
 * @throws AppError `conflict` when a newer Lorikeet wrote it; nothing is changed then.
 */
export function migrate(database: Database.Database, nowMs: number): void {
  database.exec(
    'CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at_ms INTEGER NOT NULL) STRICT',
  );
  const stored =
    database.prepare<[], { version: number }>('SELECT coalesce(max(version), 0) AS version FROM migrations').get()?.version ?? 0;
  if (stored > MIGRATIONS.length) {
    throw new AppError(
      'conflict',
      `the database has schema ${stored}, this Lorikeet knows schemas up to ${MIGRATIONS.length}: start the newer Lorikeet that wrote it`,
    );
  }
  const record = database.prepare('INSERT INTO migrations (version, name, applied_at_ms) VALUES (?, ?, ?)');
  MIGRATIONS.forEach((migration, index) => {
    if (index < stored) return;
    database.transaction(() => {
      database.exec(migration.sql);
      record.run(index + 1, migration.name, nowMs);
    })();
  });
}
