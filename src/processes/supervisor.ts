// Keeps one child process running: starts it, watches it, starts it again with growing delays, stops it. Generic over messages.
import type { Clock, Logger } from '../core/index.ts';
import { type Backoff, backoffMs } from './backoff.ts';
import { Child, type ChildCommand } from './child.ts';
import { Watchdog, type WatchdogOptions } from './watchdog.ts';

/** How the supervisor takes part in the children's protocol. */
export interface SupervisedProtocol<ToChild, FromChild> {
  readonly ping: ToChild;
  /** Asks the child to end by itself. */
  readonly shutdown: ToChild;
  readonly isReady: (message: FromChild) => boolean;
}

export interface SupervisorOptions<ToChild, FromChild> {
  /** For logs. */
  readonly name: string;
  readonly command: ChildCommand;
  readonly protocol: SupervisedProtocol<ToChild, FromChild>;
  readonly backoff?: Backoff;
  readonly watchdog?: WatchdogOptions;
  /** How long `stop` waits before it kills. */
  readonly stopMs?: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

export type SupervisorState = 'stopped' | 'starting' | 'ready' | 'backing-off' | 'stopping';

const DEFAULT_BACKOFF: Backoff = { initialMs: 200, maxMs: 30_000, healthyMs: 60_000 };
const DEFAULT_WATCHDOG: WatchdogOptions = { pingIntervalMs: 2_000, silenceMs: 60_000, startupMs: 600_000 };
const DEFAULT_STOP_MS = 10_000;

/** Listeners stay over restarts. `down` comes once for each child that ended, after its last message. */
export class Supervisor<ToChild extends object, FromChild> {
  readonly #options: SupervisorOptions<ToChild, FromChild>;
  readonly #messageListeners: ((message: FromChild) => void)[] = [];
  readonly #downListeners: (() => void)[] = [];
  #state: SupervisorState = 'stopped';
  #child: Child<ToChild, FromChild> | null = null;
  #watchdog: Watchdog | null = null;
  #restart: NodeJS.Timeout | null = null;
  #failures = 0;
  #readyAtMs: number | null = null;
  #stopping: { readonly promise: Promise<void>; readonly done: () => void } | null = null;

  constructor(options: SupervisorOptions<ToChild, FromChild>) {
    this.#options = options;
  }

  get state(): SupervisorState {
    return this.#state;
  }

  /** Process id of the running child. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  onMessage(listener: (message: FromChild) => void): void {
    this.#messageListeners.push(listener);
  }

  onDown(listener: () => void): void {
    this.#downListeners.push(listener);
  }

  /** False when no child takes messages now. */
  send(message: ToChild): boolean {
    return this.#child?.send(message) ?? false;
  }

  /** Starts the child; does nothing when it was started already. */
  start(): void {
    if (this.#state === 'stopped') this.#launch();
  }

  /** Asks the child to end, kills it when it does not, and resolves when it has gone. Concurrent calls share one outcome. */
  stop(): Promise<void> {
    if (this.#stopping !== null) return this.#stopping.promise;
    if (this.#restart !== null) clearTimeout(this.#restart);
    this.#restart = null;
    const child = this.#child;
    if (child === null) {
      this.#state = 'stopped';
      return Promise.resolve();
    }
    this.#state = 'stopping';
    const killer = setTimeout(() => child.kill(), this.#options.stopMs ?? DEFAULT_STOP_MS);
    let done = (): void => undefined;
    const promise = new Promise<void>((resolve) => {
      done = () => {
        clearTimeout(killer);
        resolve();
      };
    });
    this.#stopping = { promise, done };
    child.send(this.#options.protocol.shutdown);
    return promise;
  }

  #launch(): void {
    const { command, logger, name, protocol, watchdog } = this.#options;
    this.#restart = null;
    this.#state = 'starting';
    this.#readyAtMs = null;
    const child = new Child<ToChild, FromChild>(command, {
      message: (message) => this.#receive(message),
      gone: (reason) => this.#gone(reason),
    });
    this.#child = child;
    this.#watchdog = new Watchdog(
      watchdog ?? DEFAULT_WATCHDOG,
      () => child.send(protocol.ping),
      (reason) => {
        logger.error({ process: name, pid: child.pid }, `${name} process ${reason}; killing it`);
        child.kill();
      },
    );
  }

  #receive(message: FromChild): void {
    this.#watchdog?.alive();
    if (this.#state === 'starting' && this.#options.protocol.isReady(message)) {
      this.#state = 'ready';
      this.#readyAtMs = this.#options.clock.monotonic();
      this.#watchdog?.ready();
    }
    for (const listener of this.#messageListeners) listener(message);
  }

  #gone(reason: string): void {
    const stopping = this.#stopping;
    this.#child = null;
    this.#watchdog?.stop();
    this.#watchdog = null;
    this.#stopping = null;
    if (stopping === null) this.#scheduleRestart(reason);
    else this.#state = 'stopped';
    for (const listener of this.#downListeners) listener();
    stopping?.done();
  }

  #scheduleRestart(reason: string): void {
    const { clock, logger, name } = this.#options;
    const backoff = this.#options.backoff ?? DEFAULT_BACKOFF;
    const wasHealthy = this.#readyAtMs !== null && clock.monotonic() - this.#readyAtMs >= backoff.healthyMs;
    this.#failures = wasHealthy ? 1 : this.#failures + 1;
    const delayMs = backoffMs(backoff, this.#failures);
    this.#state = 'backing-off';
    logger.warn({ process: name, failures: this.#failures, delayMs }, `${name} process ${reason}; starting it again`);
    this.#restart = setTimeout(() => this.#launch(), delayMs);
  }
}
