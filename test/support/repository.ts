// Where the repository and its fixtures lie, whatever folder a test runs in.
import { fileURLToPath } from 'node:url';

/** Absolute path below the repository root. */
export function repositoryPath(relative: string): string {
  return fileURLToPath(new URL(`../../${relative}`, import.meta.url));
}

export function fixturePath(relative: string): string {
  return repositoryPath(`test/fixtures/${relative}`);
}
