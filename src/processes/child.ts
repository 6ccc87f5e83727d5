// One run of a child process, from fork to its end. Knows no restarts.
import { fork, type ChildProcess } from 'node:child_process';

export interface ChildCommand {
  /** Path of the module to run. */
  readonly entry: string;
  readonly args?: readonly string[];
  /** Node's own arguments; this process's own when absent, so that a child runs under the same loader. */
  readonly execArgv?: readonly string[];
  /** Variables beside this process's own. */
  readonly environment?: Readonly<Record<string, string>>;
}

export interface ChildEvents<FromChild> {
  readonly message: (message: FromChild) => void;
  /** Once, after the last message. `reason` says how it ended. */
  readonly gone: (reason: string) => void;
}

export class Child<ToChild extends object, FromChild> {
  readonly #process: ChildProcess;
  #exit: string | null = null;
  #gone = false;

  constructor(command: ChildCommand, events: ChildEvents<FromChild>) {
    this.#process = fork(command.entry, command.args ?? [], {
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      execArgv: [...(command.execArgv ?? process.execArgv)],
      env: { ...process.env, ...command.environment },
    });
    // Messages that were sent before the end arrive after `exit`, but before `disconnect`.
    const settle = (): void => {
      if (this.#gone || this.#exit === null || this.#process.connected) return;
      this.#gone = true;
      events.gone(this.#exit);
    };
    this.#process.on('message', (message) => events.message(message as FromChild));
    this.#process.once('exit', (code, signal) => {
      this.#exit = signal === null ? `exited with code ${code}` : `was ended by ${signal}`;
      settle();
    });
    this.#process.once('disconnect', settle);
    this.#process.on('error', (error) => {
      // Only a failed start has no process that will exit; other errors are lost messages to a dying child.
      if (this.#process.pid !== undefined || this.#gone) return;
      this.#gone = true;
      events.gone(`could not be started: ${error.message}`);
    });
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** False when the child takes no messages any more. */
  send(message: ToChild): boolean {
    if (!this.#process.connected) return false;
    // The callback takes the error of a channel that closes under the message; `gone` follows.
    this.#process.send(message, () => undefined);
    return true;
  }

  /** Ends the child at once, even one that hangs in native code. */
  kill(): void {
    this.#process.kill('SIGKILL');
  }
}
