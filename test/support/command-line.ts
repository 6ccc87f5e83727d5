// Runs the command line as a user does: a process of its own, from the sources.
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { repositoryPath } from './repository.ts';

// By address: a bare name would be looked up from the working directory, which is a temporary folder.
const TSX = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;

/** Node's arguments for the sources' command line, without a command. */
export const LORIKEET: readonly string[] = ['--import', TSX, repositoryPath('src/main.ts')];

/** The environment without settings of whoever runs the tests. */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('LORIKEET_') && name !== 'NODE_OPTIONS'));
}

/** Answers what the command printed on its standard output. Rejects with what it said when it fails. */
export async function runLorikeet(args: readonly string[], workingDirectory: string): Promise<string> {
  const child = spawn(process.execPath, [...LORIKEET, ...args], {
    cwd: workingDirectory,
    env: cleanEnvironment(),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let notes = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (notes += text));
  const code = await new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve));
  if (code !== 0) throw new Error(`lorikeet ${args.join(' ')} ended with code ${code}: ${notes || output}`);
  return output;
}
