// The supervisor over real child processes. Waits are for events, never for time.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { silentLogger, systemClock } from '../core/index.ts';
import { Supervisor, type SupervisorOptions } from './supervisor.ts';

interface ToChild {
  readonly kind: 'ping' | 'shutdown' | 'hang' | 'crash' | 'last-words';
}
interface FromChild {
  readonly kind: 'ready' | 'pong' | 'last-words';
  readonly pid: number;
}
type Happening = FromChild['kind'] | 'down';

const CHILD = fileURLToPath(new URL('../../test/support/child.ts', import.meta.url));
const PARENT = fileURLToPath(new URL('../../test/support/parent.ts', import.meta.url));
const running: Supervised[] = [];

/** A supervisor whose happenings can be waited for in turn. */
class Supervised {
  readonly supervisor: Supervisor<ToChild, FromChild>;
  /** Pongs aside: their number depends on the machine. */
  readonly happenings: Happening[] = [];
  readonly #waiting: { readonly wanted: Happening; readonly resolve: () => void }[] = [];

  constructor(behaviour: string, options: Partial<SupervisorOptions<ToChild, FromChild>> = {}) {
    this.supervisor = new Supervisor<ToChild, FromChild>({
      name: 'test',
      command: { entry: CHILD, args: [behaviour], execArgv: ['--import', 'tsx'] },
      protocol: { ping: { kind: 'ping' }, shutdown: { kind: 'shutdown' }, isReady: ({ kind }) => kind === 'ready' },
      backoff: { initialMs: 1, maxMs: 4, healthyMs: 60_000 },
      clock: systemClock,
      logger: silentLogger,
      ...options,
    });
    this.supervisor.onMessage(({ kind }) => this.#happen(kind));
    this.supervisor.onDown(() => this.#happen('down'));
    this.supervisor.start();
    running.push(this);
  }

  /** Resolves at the next such happening. */
  next(wanted: Happening): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ wanted, resolve });
    });
  }

  #happen(happening: Happening): void {
    if (happening !== 'pong') this.happenings.push(happening);
    const index = this.#waiting.findIndex(({ wanted }) => wanted === happening);
    if (index >= 0) this.#waiting.splice(index, 1)[0]?.resolve();
  }
}

afterEach(async () => {
  await Promise.all(running.splice(0).map(({ supervisor }) => supervisor.stop()));
});

const FAST_WATCHDOG = { pingIntervalMs: 20, silenceMs: 1500, startupMs: 20_000 };

describe('a supervisor', () => {
  it('starts a child again after kill -9', async () => {
    const supervised = new Supervised('normal');
    await supervised.next('ready');
    const { pid } = supervised.supervisor;
    if (pid === undefined) throw new Error('no child');
    const again = supervised.next('ready');
    process.kill(pid, 'SIGKILL');
    await again;
    expect(supervised.supervisor.pid).not.toBe(pid);
    expect(supervised.supervisor.state).toBe('ready');
    expect(supervised.happenings).toEqual(['ready', 'down', 'ready']);
  });

  it('kills a child that hangs and starts it again', async () => {
    const supervised = new Supervised('normal', { watchdog: FAST_WATCHDOG });
    await supervised.next('pong');
    const again = supervised.next('ready');
    supervised.supervisor.send({ kind: 'hang' });
    await again;
    expect(supervised.happenings).toEqual(['ready', 'down', 'ready']);
  });

  it('kills a child that never becomes ready', async () => {
    const supervised = new Supervised('never-ready', { watchdog: { ...FAST_WATCHDOG, startupMs: 300 } });
    await supervised.next('down');
    expect(supervised.supervisor.state).toBe('backing-off');
  });

  it('delivers the last messages of a child before it says that the child has gone', async () => {
    const supervised = new Supervised('normal');
    await supervised.next('ready');
    const down = supervised.next('down');
    supervised.supervisor.send({ kind: 'last-words' });
    await down;
    expect(supervised.happenings).toEqual(['ready', 'last-words', 'down']);
  });

  it('takes no messages while no child runs', async () => {
    const supervised = new Supervised('normal', { backoff: { initialMs: 60_000, maxMs: 60_000, healthyMs: 1e9 } });
    await supervised.next('ready');
    const down = supervised.next('down');
    supervised.supervisor.send({ kind: 'crash' });
    await down;
    expect(supervised.supervisor.send({ kind: 'ping' })).toBe(false);
    await supervised.supervisor.stop();
    expect(supervised.supervisor.state).toBe('stopped');
  });

  it('stops cleanly, without a restart, once for all who ask', async () => {
    const supervised = new Supervised('normal');
    await supervised.next('ready');
    await Promise.all([supervised.supervisor.stop(), supervised.supervisor.stop()]);
    expect(supervised.happenings).toEqual(['ready', 'last-words', 'down']);
    expect(supervised.supervisor.state).toBe('stopped');
    expect(supervised.supervisor.pid).toBeUndefined();
  });

  it('kills a child that does not stop when asked', async () => {
    const supervised = new Supervised('stubborn', { stopMs: 50 });
    await supervised.next('ready');
    await supervised.supervisor.stop();
    expect(supervised.happenings).toEqual(['ready', 'down']);
  });
});

describe('a child', () => {
  it('ends when its parent is killed', async () => {
    const parent = spawn(process.execPath, ['--import', 'tsx', PARENT], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(parent.stdout, 'data')) as [Buffer];
    expect(Number(line.toString())).toBeGreaterThan(0);
    // Both hold the pipe: it closes when the last of them has ended.
    const closed = once(parent, 'close');
    parent.kill('SIGKILL');
    expect(await closed).toEqual([null, 'SIGKILL']);
  });
});
