// The storage driver of a single machine: SQLite and a folder of blobs, owned by one process at a time.
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { systemClock, type Clock } from '../core/index.ts';
import { diskSync } from './disk-sync.ts';
import { openFileBlobStore } from './file-blob-store.ts';
import type { Storage } from './ports.ts';
import { openOwnedDatabase } from './sqlite/database.ts';
import { createSqliteAdapterStore } from './sqlite/sqlite-adapter-store.ts';
import { createSqliteFileStore } from './sqlite/sqlite-file-store.ts';
import { createSqliteJobStore } from './sqlite/sqlite-job-store.ts';
import { createSqliteKeyStore } from './sqlite/sqlite-key-store.ts';

/**
 * Opens (and at first creates) a data directory and owns it until `close` or the end of the process.
 * @throws AppError `conflict` when another process owns it, or when a newer Lorikeet wrote it.
 */
export function openStorage(dataDir: string, clock: Clock = systemClock): Storage {
  const created = mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  if (created !== undefined) diskSync.folderNow(path.dirname(created));
  const owned = openOwnedDatabase(dataDir, clock.now());
  try {
    // After the lock is ours: opening removes leftover temporary files.
    const blobs = openFileBlobStore(path.join(dataDir, 'blobs'), diskSync);
    for (const folder of [path.dirname(blobs.folder), dataDir]) diskSync.folderNow(folder);
    return {
      adapters: createSqliteAdapterStore(owned.database),
      keys: createSqliteKeyStore(owned.database),
      files: createSqliteFileStore(owned.database),
      jobs: createSqliteJobStore(owned.database),
      blobs,
      close: () => owned.close(),
    };
  } catch (error) {
    owned.close();
    throw error;
  }
}
