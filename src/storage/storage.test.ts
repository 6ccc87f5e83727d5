// Runs the storage contract on each driver, and what only the SQLite driver promises.
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describeStorageContract } from '../../test/contract/storage.ts';
import { refusalOf } from '../../test/support/refusal.ts';
import type { AdapterName, TenantId } from '../core/index.ts';
import { versionRow } from '../../test/contract/rows.ts';
import { openMemoryStorage, openStorage } from './index.ts';
import { openOwnedDatabase } from './sqlite/database.ts';
import { MIGRATIONS } from './sqlite/migrations.ts';

let root: string;
let folderCount = 0;
beforeAll(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'lorikeet-storage-'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

function newFolder(): string {
  folderCount += 1;
  return path.join(root, `store-${folderCount}`);
}

describeStorageContract('SQLite', () => {
  const storage = openStorage(newFolder());
  return { storage, dispose: () => storage.close() };
});

describeStorageContract('memory', () => {
  const storage = openMemoryStorage(newFolder());
  return { storage, dispose: () => storage.close() };
});

describe('SQLite storage', () => {
  it('finds everything again after it was closed', async () => {
    const dataDir = newFolder();
    const first = openStorage(dataDir);
    const digest = await first.blobs.put(Buffer.from('hello'));
    const row = versionRow('acme' as TenantId, 'poet' as AdapterName, 'one');
    first.adapters.addVersion(row, { activate: true });
    first.close();
    const second = openStorage(dataDir);
    expect(second.blobs.has(digest)).toBe(true);
    expect(second.adapters.versions(row.tenant, row.name)).toEqual([{ ...row, version: 1 }]);
    second.close();
  });

  it('refuses a second owner of the data directory and names the first', async () => {
    const dataDir = newFolder();
    const first = openStorage(dataDir);
    const refusal = await refusalOf(() => openStorage(dataDir));
    expect(refusal.code).toBe('conflict');
    expect(refusal.message).toContain(`process ${process.pid}`);
    first.close();
    openStorage(dataDir).close();
  });

  it('leaves the temporary files of the owner alone when a second owner is refused', () => {
    const dataDir = newFolder();
    const first = openStorage(dataDir);
    const temporary = path.join(first.blobs.temporaryFolder, 'upload');
    writeFileSync(temporary, 'half an upl');
    expect(() => openStorage(dataDir)).toThrow(/in use/);
    expect(existsSync(temporary)).toBe(true);
    first.close();
  });

  it('removes temporary files that an earlier process left', () => {
    const dataDir = newFolder();
    const first = openStorage(dataDir);
    const temporary = path.join(first.blobs.temporaryFolder, 'upload');
    writeFileSync(temporary, 'half an upl');
    first.close();
    openStorage(dataDir).close();
    expect(existsSync(temporary)).toBe(false);
  });

  it('refuses a database that a newer Lorikeet wrote, and does not change it', async () => {
    const dataDir = newFolder();
    openStorage(dataDir).close();
    const file = path.join(dataDir, 'lorikeet.sqlite');
    const newer = new Database(file);
    newer.exec("INSERT INTO migrations VALUES (99, 'from the future', 0)");
    newer.close();
    const refusal = await refusalOf(() => openStorage(dataDir));
    expect(refusal.code).toBe('conflict');
    expect(refusal.message).toContain('schema 99');
    const untouched = new Database(file);
    expect(untouched.prepare('SELECT max(version) FROM migrations').pluck().get()).toBe(99);
    untouched.close();
  });

  it('keeps pointer, canary and placement over a restart', () => {
    const dataDir = newFolder();
    const first = openStorage(dataDir);
    const row = versionRow('acme' as TenantId, 'poet' as AdapterName, 'one');
    first.adapters.addVersion(row, { activate: true });
    first.adapters.addVersion({ ...row, packedDigest: row.baseDigest }, { activate: false });
    first.adapters.activate(row.tenant, row.name, 1, 1, { version: 2, share: 0.1 });
    first.adapters.setPlacement(row.tenant, row.name, { pinned: true });
    const before = first.adapters.adapter(row.tenant, row.name);
    first.close();
    const second = openStorage(dataDir);
    expect(second.adapters.adapter(row.tenant, row.name)).toEqual(before);
    expect(before).toMatchObject({ activeVersion: 1, canary: { version: 2, share: 0.1 }, pinned: true });
    second.close();
  });

  it('brings a database of the first schema to the newest, with its rows', () => {
    const dataDir = newFolder();
    mkdirSync(dataDir);
    const old = new Database(path.join(dataDir, 'lorikeet.sqlite'));
    old.exec(MIGRATIONS[0]?.sql ?? '');
    old.exec(`
      CREATE TABLE migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at_ms INTEGER NOT NULL) STRICT;
      INSERT INTO migrations VALUES (1, 'adapters and keys', 0);
      INSERT INTO adapters (tenant, name, active_version, generation, next_version) VALUES ('acme', 'poet', 1, 1, 2);
      INSERT INTO adapter_versions VALUES ('acme', 'poet', 1, 'p', 'lora', 8, '[]', 'b', 0);
    `);
    old.close();
    const storage = openStorage(dataDir);
    expect(storage.adapters.adapter('acme' as TenantId, 'poet' as AdapterName)).toMatchObject({
      activeVersion: 1,
      canary: null,
      generation: 1,
    });
    storage.close();
  });

  it('writes through a write-ahead log with full synchronisation and checks references', () => {
    const dataDir = newFolder();
    openStorage(dataDir).close();
    const owned = openOwnedDatabase(dataDir, 0);
    const pragmas = ['journal_mode', 'synchronous', 'foreign_keys', 'locking_mode'].map((name) =>
      owned.database.pragma(name, { simple: true }),
    );
    owned.close();
    const FULL = 2;
    expect(pragmas).toEqual(['wal', FULL, 1, 'exclusive']);
  });
});
