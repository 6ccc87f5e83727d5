// Uploaded and made files of tenants in SQLite: rows only, the bytes are blobs.
import type Database from 'better-sqlite3';
import type { FileRow, FileStore } from '../training-ports.ts';

const COLUMNS = 'id, tenant, digest, bytes, file_name AS fileName, purpose, created_at_ms AS createdAtMs';

/** Also used by the job store, which adds the files of a result in the transaction that ends the job. */
export function insertFileStatement(database: Database.Database): Database.Statement<[FileRow]> {
  return database.prepare<[FileRow]>(
    `INSERT INTO files (id, tenant, digest, bytes, file_name, purpose, created_at_ms)
     VALUES (@id, @tenant, @digest, @bytes, @fileName, @purpose, @createdAtMs)`,
  );
}

export function createSqliteFileStore(database: Database.Database): FileStore {
  const insert = insertFileStatement(database);
  const selectOne = database.prepare<[{ tenant: string; id: string }], FileRow>(
    `SELECT ${COLUMNS} FROM files WHERE tenant = @tenant AND id = @id`,
  );
  const selectNumber = database
    .prepare<[{ tenant: string; id: string }], number>('SELECT number FROM files WHERE tenant = @tenant AND id = @id')
    .pluck();
  const selectPage = database.prepare<[{ tenant: string; before: number | null; purpose: string | null; limit: number }], FileRow>(
    `SELECT ${COLUMNS} FROM files WHERE tenant = @tenant AND (@before IS NULL OR number < @before) AND (@purpose IS NULL OR purpose = @purpose)
     ORDER BY number DESC LIMIT @limit`,
  );
  const deleteOne = database.prepare<[{ tenant: string; id: string }]>('DELETE FROM files WHERE tenant = @tenant AND id = @id');
  return {
    add: (row) => void insert.run(row),
    get: (tenant, id) => selectOne.get({ tenant, id }) ?? null,
    list: (tenant, { after, limit, purpose }) => {
      const before = after === null ? null : selectNumber.get({ tenant, id: after });
      return before === undefined ? null : selectPage.all({ tenant, before, purpose, limit });
    },
    remove: (tenant, id) => deleteOne.run({ tenant, id }).changes === 1,
  };
}
