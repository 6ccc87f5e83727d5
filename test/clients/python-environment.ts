// A private Python environment with the pinned clients, made once and kept under the ignored cache folder. Knows nothing of the tests.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { repositoryPath } from '../support/repository.ts';

const run = promisify(execFile);

const REQUIREMENTS = join(import.meta.dirname, 'python', 'requirements.txt');
const INSTALL_MS = 150_000;

export type PythonEnvironment = { readonly python: string } | { readonly missing: string };

/** The interpreter, or why there is none here: no Python 3.10, no `venv`, or no packages to be had. */
export async function pythonEnvironment(): Promise<PythonEnvironment> {
  const pins = createHash('sha256').update(readFileSync(REQUIREMENTS)).digest('hex').slice(0, 12);
  const folder = repositoryPath(join('.cache', `python-clients-${pins}`));
  const python = join(folder, 'bin', 'python');
  const isComplete = join(folder, 'complete');
  if (existsSync(isComplete)) return { python };
  try {
    // A folder without the mark is what an interrupted run left.
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    await run('python3', ['-m', 'venv', folder], { timeout: INSTALL_MS });
    const flags = ['--quiet', '--disable-pip-version-check', '--no-input', '--no-deps', '--only-binary', ':all:'];
    await run(python, ['-m', 'pip', 'install', ...flags, '-r', REQUIREMENTS], { timeout: INSTALL_MS });
    writeFileSync(isComplete, '');
    return { python };
  } catch (error) {
    return { missing: error instanceof Error ? error.message.trim() : String(error) };
  }
}
