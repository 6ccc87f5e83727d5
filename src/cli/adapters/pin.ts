// `lorikeet adapters pin`: where an adapter lives and how it is applied.
import { Command, Option } from 'commander';
import { serverClient, type ServerOptions } from '../client.ts';
import type { CommandContext } from '../context.ts';
import { addExamples, addServer } from '../options.ts';
import { type OutputOptions, print } from '../output.ts';
import { adminPath } from './wire.ts';

interface PinOptions extends ServerOptions, OutputOptions {
  readonly off?: boolean;
  readonly mode?: string;
}

export function adaptersPinCommand(context: CommandContext): Command {
  const command = new Command('pin')
    .description('keep an adapter in memory')
    .argument('<name>', 'adapter')
    .option('--off', 'let it be dropped again when memory is short')
    .addOption(new Option('--mode <mode>', 'how it is applied').choices(['auto', 'side', 'merged']));
  addExamples(addServer(command), [
    ['adapters pin my-adapter', 'never drop it from memory'],
    ['adapters pin my-adapter --off', 'drop it when others need the room'],
  ]);
  return command.action(async (name: string, options: PinOptions) => {
    const placement = { pinned: options.off !== true, ...(options.mode !== undefined && { mode: options.mode }) };
    const body = await serverClient(context, options).json(adminPath(name, 'placement'), { method: 'PUT', body: placement });
    print(context, options, body, () => [`${name} is ${placement.pinned ? 'pinned' : 'not pinned'}`]);
  });
}
