// `lorikeet adapters rollback`: back to the version before the active one.
import { Command } from 'commander';
import { AppError } from '../../core/index.ts';
import { serverClient, type ServerOptions } from '../client.ts';
import type { CommandContext } from '../context.ts';
import { addExamples, addServer } from '../options.ts';
import { type OutputOptions, print } from '../output.ts';
import { activateVersion, readPointer, readVersions } from './wire.ts';

export function adaptersRollbackCommand(context: CommandContext): Command {
  const command = new Command('rollback')
    .description('switch an adapter to the version before its active one')
    .argument('<name>', 'adapter');
  addExamples(addServer(command), [['adapters rollback my-adapter', 'undo the last push']]);
  return command.action(async (name: string, options: ServerOptions & OutputOptions) => {
    const client = serverClient(context, options);
    const { version: active, etag } = await readPointer(client, name);
    const previous = (await readVersions(client, name)).findLast((version) => active !== null && version < active);
    if (previous === undefined) {
      throw new AppError(
        'not_found',
        `adapter "${name}" has no version before ${active ?? 'its first activation'}; see "adapters list ${name}"`,
      );
    }
    const pointer = { version: previous, canary: null };
    print(context, options, await activateVersion(client, name, pointer, etag), () => [`${name} serves version ${previous} again`]);
  });
}
