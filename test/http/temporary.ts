// A temporary folder of one test app, and files in folders that the app owns.
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface TemporaryFolder {
  readonly path: string;
  /** Writes a new file into `folder` and answers its path. */
  write(folder: string, bytes: Uint8Array): string;
  remove(): void;
}

export function makeTemporaryFolder(): TemporaryFolder {
  const path = mkdtempSync(join(tmpdir(), 'lorikeet-http-'));
  return {
    path,
    write: (folder, bytes) => {
      const file = join(folder, randomUUID());
      writeFileSync(file, bytes);
      return file;
    },
    remove: () => rmSync(path, { recursive: true, force: true }),
  };
}
