// API keys in SQLite. Holds digests of secrets, never a secret.
import type Database from 'better-sqlite3';
import type { KeyRow, KeyStore } from '../ports.ts';

const COLUMNS = `id, tenant, role, secret_digest AS secretDigest, created_at_ms AS createdAtMs, last_used_at_ms AS lastUsedAtMs`;

export function createSqliteKeyStore(database: Database.Database): KeyStore {
  const insert = database.prepare<[KeyRow]>(
    `INSERT INTO keys (id, tenant, role, secret_digest, created_at_ms, last_used_at_ms)
     VALUES (@id, @tenant, @role, @secretDigest, @createdAtMs, @lastUsedAtMs)`,
  );
  const selectAll = database.prepare<[], KeyRow>(`SELECT ${COLUMNS} FROM keys ORDER BY created_at_ms, id`);
  const deleteOne = database.prepare<[string]>('DELETE FROM keys WHERE id = ?');
  const updateLastUsed = database.prepare<[number, string]>('UPDATE keys SET last_used_at_ms = ? WHERE id = ?');
  return {
    add: (row) => void insert.run(row),
    all: () => selectAll.all(),
    remove: (id) => deleteOne.run(id).changes === 1,
    touch: (id, usedAtMs) => void updateLastUsed.run(usedAtMs, id),
  };
}
