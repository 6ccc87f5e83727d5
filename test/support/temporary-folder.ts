// Folders that live as long as one test file.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

/** A fresh folder, removed after the tests of this file (or of the surrounding `describe`). */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'lorikeet-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
  return folder;
}
