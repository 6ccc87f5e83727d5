// Pings a child process and kills it when it has been silent for too long. Any message is a sign of life.

export interface WatchdogOptions {
  readonly pingIntervalMs: number;
  /** Longest silence of a child that is ready: well above its longest blocking call. */
  readonly silenceMs: number;
  /** Longest time from start to ready, during which a child may block. */
  readonly startupMs: number;
}

/** Watches one child from construction to `stop`. */
export class Watchdog {
  readonly #options: WatchdogOptions;
  readonly #kill: (reason: string) => void;
  readonly #pinger: NodeJS.Timeout;
  #deadline: NodeJS.Timeout;
  #ready = false;

  constructor(options: WatchdogOptions, ping: () => void, kill: (reason: string) => void) {
    this.#options = options;
    this.#kill = kill;
    this.#pinger = setInterval(ping, options.pingIntervalMs);
    this.#deadline = setTimeout(() => kill(`was not ready after ${options.startupMs} ms`), options.startupMs);
  }

  /** The child has started up; from now on silence counts. */
  ready(): void {
    this.#ready = true;
    this.alive();
  }

  /** A sign of life. Does not extend the time to start up. */
  alive(): void {
    if (!this.#ready) return;
    const { silenceMs } = this.#options;
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => this.#kill(`was silent for ${silenceMs} ms`), silenceMs);
  }

  stop(): void {
    clearInterval(this.#pinger);
    clearTimeout(this.#deadline);
  }
}
