// Private Python environments of the peers, one each, in a folder that git and npm ignore. Made once; kept for later runs.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const CACHE = join(import.meta.dirname, '..', '..', '..', 'node_modules', '.cache', 'lorikeet-bench');
/** Instructions of this machine in what is compiled from source. */
const BUILD_ENVIRONMENT = { CMAKE_ARGS: '-DGGML_NATIVE=ON' };
const KEPT_LINES = 12;

export interface PythonPackages {
  readonly name: string;
  /** Path of the pinned requirements. */
  readonly requirements: string;
  /** The requirements name every package; what packages ask for is not looked at. */
  readonly complete: boolean;
}

/** Path of the environment's Python. @throws Error with the last lines of what failed. */
export async function pythonWith({ name, requirements, complete }: PythonPackages): Promise<string> {
  const digest = createHash('sha256').update(readFileSync(requirements)).digest('hex').slice(0, 12);
  const folder = join(CACHE, `${name}-${digest}`);
  const python = join(folder, 'bin', 'python');
  const finished = join(folder, 'finished');
  if (existsSync(finished)) return python;
  rmSync(folder, { recursive: true, force: true });
  console.log(`${name}: making ${folder} (once; minutes where a package is compiled)`);
  await run(name, 'python3', ['-m', 'venv', folder]);
  await run(name, python, ['-m', 'pip', 'install', ...(complete ? ['--no-deps'] : []), '-r', requirements]);
  writeFileSync(finished, '');
  return python;
}

async function run(name: string, executable: string, args: readonly string[]): Promise<void> {
  const child = spawn(executable, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...BUILD_ENVIRONMENT } });
  const exited = once(child, 'close');
  const last: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      if (/^(Collecting|Building|Installing|\s+Building)/.test(line)) console.log(`${name}: ${line.trim()}`);
      if (last.push(line) > KEPT_LINES) last.shift();
    });
  }
  const [code] = (await exited) as [number | null];
  if (code !== 0) throw new Error(`${executable} ${args.join(' ')} ended with ${String(code)}\n${last.join('\n')}`);
}
