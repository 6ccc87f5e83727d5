// A real server process for a test: started from the sources on a free port, ended with the test. Knows its processes, not its routes.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { cleanEnvironment, LORIKEET } from './command-line.ts';

/** Settings as flags: `{ model: 'tiny', maxBatch: '8' }`. */
export interface ServerSettings {
  readonly modelsDir: string;
  readonly dataDir: string;
  readonly model: string;
  readonly precision?: string;
  readonly samplesDir?: string;
  readonly maxBatch?: string;
  readonly maxWaiting?: string;
  readonly maxContext?: string;
  readonly threadCount?: string;
  readonly adapterHostBytes?: string;
  readonly mergedMax?: string;
  readonly trainerThreads?: string;
  readonly trainerCheckpointSteps?: string;
  readonly trainerAttempts?: string;
}

export interface RunningServer extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
  /** What the processes wrote so far. */
  log(): string;
  /** Process id of the engine that runs now. */
  enginePid(): number;
  /** Process id of the trainer; null while none runs. */
  trainerPid(): number | null;
  /** Ends the server as a service manager does, and waits for it. */
  stop(): Promise<void>;
  /** Ends the front process at once, as a power cut would, and waits for it. */
  kill(): Promise<void>;
}

const STOP_TIMEOUT_MS = 20_000;
/** A log kept in memory ends here; what is older is dropped. */
const LOG_CHARACTERS = 200_000;

/** Resolves when the server has printed its ready line. Whoever starts a server stops it; it never outlives this process. */
export async function startServer(settings: ServerSettings): Promise<RunningServer> {
  const flags = Object.entries({ samplesDir: 'none', logLevel: 'warn', drainSeconds: '1', ...settings }).flatMap(([key, value]) => [
    flagOf(key),
    value,
  ]);
  const child = spawn(process.execPath, [...LORIKEET, 'serve', '--json', '--port', '0', ...flags], {
    cwd: settings.dataDir,
    env: { ...cleanEnvironment(), LORIKEET_LOG_LEVEL: 'warn' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = once(child, 'exit');
  const log = { text: '' };
  const keep = (line: string): void => {
    log.text = `${log.text}${line}\n`.slice(-LOG_CHARACTERS);
  };
  createInterface({ input: child.stderr }).on('line', keep);
  const stop = async (): Promise<void> => {
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    child.kill('SIGTERM');
    await exited;
    clearTimeout(timer);
  };
  const endWithUs = (): boolean => child.kill('SIGKILL');
  process.once('exit', endWithUs);
  child.once('exit', () => process.off('exit', endWithUs));
  const url = await readyUrl(child, keep, () => log.text);
  const pid = child.pid ?? 0;
  return {
    url,
    pid,
    log: () => log.text,
    enginePid: () => {
      const engine = childPid(pid, 'engine');
      if (engine === null) throw new Error(`process ${pid} has no engine process`);
      return engine;
    },
    trainerPid: () => childPid(pid, 'trainer'),
    stop,
    kill: async () => {
      child.kill('SIGKILL');
      await exited;
    },
    [Symbol.asyncDispose]: stop,
  };
}

/** `maxBatch` → `--max-batch`. */
function flagOf(key: string): string {
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

async function readyUrl(child: ChildProcess, keep: (line: string) => void, log: () => string): Promise<string> {
  const { stdout } = child;
  if (stdout === null) throw new Error('the server has no standard output');
  return await new Promise((resolve, reject) => {
    let printed = '';
    createInterface({ input: stdout }).on('line', (line) => {
      keep(line);
      printed += `${line}\n`;
      const url = /"url":\s*"(http[^"]+)"/.exec(printed)?.[1];
      if (url !== undefined) resolve(url);
    });
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`the server ended with code ${code} before it was ready: ${log()}`)));
  });
}

interface ProcessRow {
  readonly pid: number;
  readonly parent: number;
  readonly command: string;
}

function childPid(frontPid: number, entry: 'engine' | 'trainer'): number | null {
  const pattern = new RegExp(`entries/${entry}\\.[jt]s`);
  return processes().find(({ parent, command }) => parent === frontPid && pattern.test(command))?.pid ?? null;
}

export function processes(): readonly ProcessRow[] {
  const lines = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,args='], { encoding: 'utf8', maxBuffer: 16 * 1024 ** 2 }).split('\n');
  return lines.flatMap((line) => {
    const [, pid, parent, command] = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line) ?? [];
    return pid === undefined || parent === undefined || command === undefined
      ? []
      : [{ pid: Number(pid), parent: Number(parent), command }];
  });
}
