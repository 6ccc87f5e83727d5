// Opens the one database file of a data directory: pragmas, exclusive ownership, migrations.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import Database, { SqliteError } from 'better-sqlite3';
import { AppError } from '../../core/index.ts';
import { migrate } from './migrations.ts';

/** How long an opener waits for a short-lived owner, such as `lorikeet keys create`, to finish. */
const BUSY_TIMEOUT_MS = 1000;

export interface OwnedDatabase {
  readonly database: Database.Database;
  close(): void;
}

/**
 * Opens `lorikeet.sqlite` for this process alone. Ownership is SQLite's exclusive file lock, which the kernel drops when the process
 * ends however it ends, so there is no stale lock; `owner.pid` only serves the message.
 * @throws AppError `conflict` when another process owns the directory or a newer Lorikeet wrote it.
 */
export function openOwnedDatabase(dataDir: string, nowMs: number): OwnedDatabase {
  const ownerFile = path.join(dataDir, 'owner.pid');
  const database = new Database(path.join(dataDir, 'lorikeet.sqlite'), { timeout: BUSY_TIMEOUT_MS });
  try {
    // Before the first access: WAL then needs no shared memory, and no other process can even read.
    database.pragma('locking_mode = EXCLUSIVE');
    database.pragma('journal_mode = WAL');
    database.pragma('synchronous = FULL');
    database.pragma('foreign_keys = ON');
    database.exec('BEGIN EXCLUSIVE; COMMIT');
    migrate(database, nowMs);
  } catch (error) {
    database.close();
    throw isBusy(error) ? inUse(dataDir, ownerFile, error) : error;
  }
  writeFileSync(ownerFile, `${process.pid}\n`);
  return {
    database,
    close: () => {
      // Removed while the lock is still held, so that it is never the next owner's.
      if (database.open) rmSync(ownerFile, { force: true });
      database.close();
    },
  };
}

function isBusy(error: unknown): boolean {
  return error instanceof SqliteError && (error.code.startsWith('SQLITE_BUSY') || error.code.startsWith('SQLITE_LOCKED'));
}

function inUse(dataDir: string, ownerFile: string, cause: unknown): AppError {
  return new AppError(
    'conflict',
    `the data directory ${dataDir} is in use by ${describeOwner(ownerFile)}: stop it, or choose another one with --data-dir`,
    { cause },
  );
}

function describeOwner(ownerFile: string): string {
  try {
    const pid = readFileSync(ownerFile, 'utf8').trim();
    return /^\d{1,10}$/.test(pid) ? `process ${pid}` : 'another process';
  } catch {
    return 'another process';
  }
}
