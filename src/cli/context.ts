// What a command may touch of the outer world: environment, working directory, two streams. Tests pass their own.

export interface CommandContext {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly workingDirectory: string;
  /** Whether the error stream is a terminal, where progress bars may redraw themselves. */
  readonly isTerminal: boolean;
  /** Whether results go to a terminal, which can be redrawn; absent: they do not. */
  readonly outputIsTerminal?: boolean;
  /** Characters of a line of that terminal. */
  readonly outputColumns?: number;
  /** Results go here; with --json nothing else does. */
  readonly output: NodeJS.WritableStream;
  /** Progress, notes and errors. */
  readonly notes: NodeJS.WritableStream;
}

export function processContext(): CommandContext {
  return {
    environment: process.env,
    workingDirectory: process.cwd(),
    isTerminal: process.stderr.isTTY,
    outputIsTerminal: process.stdout.isTTY,
    outputColumns: process.stdout.columns,
    output: process.stdout,
    notes: process.stderr,
  };
}
