// The command tree, and the one place where a failure becomes a line and an exit status.
import { Command, CommanderError } from 'commander';
import { describeError, isAppError } from '../core/index.ts';
import { adaptersCommand } from './adapters/adapters.ts';
import type { CommandContext } from './context.ts';
import { doctorCommand } from './doctor/doctor.ts';
import { importCommand } from './import.ts';
import { keysCommand } from './keys/keys.ts';
import { modelsCommand } from './models.ts';
import { addExamples } from './options.ts';
import { pullCommand } from './pull.ts';
import { serveCommand } from './serve.ts';
import { trainCommand } from './train/train.ts';
import { packageVersion } from './version.ts';

const FAILURE = 1;
const USAGE = 2;

/**
 * Runs one command line (without node and script) and answers its exit status: 0, 1 for a failure, 2 for a mistake in the command line or in a setting.
 * A failure prints one line that says what to do.
 */
export async function runCommandLine(words: readonly string[], context: CommandContext): Promise<number> {
  const program = createProgram(context);
  try {
    await program.parseAsync([...words], { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE;
    context.notes.write(`lorikeet: ${oneLine(describeError(error))}\n`);
    return isAppError(error) && error.code === 'usage' ? USAGE : FAILURE;
  }
}

/** The whole tree; also used to check that every command has help and examples. */
export function createProgram(context: CommandContext): Command {
  const program = new Command('lorikeet')
    .description('Multi-tenant LoRA adapter inference server: one frozen base model, many small adapters')
    .version(packageVersion());
  program
    .addCommand(serveCommand(context))
    .addCommand(pullCommand(context))
    .addCommand(importCommand(context))
    .addCommand(modelsCommand(context))
    .addCommand(adaptersCommand(context))
    .addCommand(trainCommand(context))
    .addCommand(keysCommand(context))
    .addCommand(doctorCommand(context));
  addExamples(program, [
    ['pull smollm2-135m-instruct', 'fetch and import the default base model'],
    ['serve', 'serve it on 127.0.0.1:8080'],
    ['adapters push my-adapter ./peft-output', 'upload a PEFT adapter to the running server'],
  ]);
  throwInsteadOfExit(program, context);
  return program;
}

function throwInsteadOfExit(command: Command, context: CommandContext): void {
  command.exitOverride();
  command.configureOutput({
    writeOut: (text) => void context.output.write(text),
    writeErr: (text) => void context.notes.write(text),
    outputError: (text, write) => write(`lorikeet: ${oneLine(text.replace(/^error: /, ''))}; add --help for usage\n`),
  });
  for (const child of command.commands) throwInsteadOfExit(child, context);
}

function oneLine(text: string): string {
  return text
    .trim()
    .replaceAll(/\s*\n\s*/g, '; ')
    .replace(/\.$/, '');
}
