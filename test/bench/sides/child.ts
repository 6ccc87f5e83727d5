// The parent's half: a child process that answers questions, so that what is measured shares neither memory nor threads with anything.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { hugePages } from '../../../src/processes/index.ts';
import { ANSWER_DESCRIPTOR, type FromChild } from './protocol.ts';

/** What is kept of a child's prints, to tell why it died. */
const KEPT_CHARACTERS = 2000;

export interface Child<Question, Answer> {
  /** @throws Error with the child's own message. */
  ask(question: Question): Promise<Answer>;
  /** Lets the child end; resolves when it has. */
  stop(): Promise<void>;
}

export interface ChildCommand {
  readonly executable: string;
  readonly args: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

/** A TypeScript file of the benchmark as a child. */
export function nodeCommand(path: string): ChildCommand {
  return { executable: process.execPath, args: ['--expose-gc', '--import', import.meta.resolve('tsx'), path] };
}

/** The same with the memory that the server starts its engine with. */
export function engineCommand(path: string): ChildCommand {
  return { ...nodeCommand(path), environment: hugePages() };
}

/** @throws Error with the child's own message when it cannot open. */
export async function startChild<Question, Answer>(
  name: string,
  command: ChildCommand,
  options: unknown,
): Promise<Child<Question, Answer>> {
  const child = spawn(command.executable, [...command.args, JSON.stringify(options)], {
    stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...command.environment },
  });
  const exited = once(child, 'exit');
  let printed = '';
  const keep = (text: Buffer): void => void (printed = (printed + text.toString()).slice(-KEPT_CHARACTERS));
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  // Writing to a child that has died fails; that it died is seen where its answer is missing.
  child.stdin.on('error', () => undefined);
  const lines = createInterface({ input: child.stdio[ANSWER_DESCRIPTOR] as Readable })[Symbol.asyncIterator]();
  const receive = async (): Promise<FromChild<Answer>> => {
    const line: IteratorResult<string, undefined> = await lines.next();
    if (!line.done) return JSON.parse(line.value) as FromChild<Answer>;
    const [code, signal] = (await exited) as [number | null, string | null];
    const said = printed.trim();
    throw new Error(`${said}\n${name}: its process ended with ${signal ?? code}; it printed last: ${said.split('\n').at(-1)}`);
  };
  const first = await receive();
  if (first.kind === 'failed') throw new Error(`${name}: ${first.message}`);
  return {
    async ask(question) {
      child.stdin.write(`${JSON.stringify(question)}\n`);
      const message = await receive();
      if (message.kind !== 'answer') throw new Error(`${name}: ${message.kind === 'failed' ? message.message : 'unexpected message'}`);
      return message.answer;
    },
    async stop() {
      child.stdin.end();
      await exited;
    },
  };
}
