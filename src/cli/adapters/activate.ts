// `lorikeet adapters activate`: points a name at one of its versions.
import { Command } from 'commander';
import { serverClient, type ServerOptions } from '../client.ts';
import type { CommandContext } from '../context.ts';
import { addExamples, addServer } from '../options.ts';
import { type OutputOptions, print } from '../output.ts';
import { activateVersion, parseVersion, readPointer } from './wire.ts';

export function adaptersActivateCommand(context: CommandContext): Command {
  const command = new Command('activate')
    .description('switch an adapter to one of its versions; nothing restarts, requests in flight finish on the old one')
    .argument('<name>', 'adapter')
    .argument('<version>', 'version number, see "adapters list <name>"');
  addExamples(addServer(command), [['adapters activate my-adapter 3', 'serve version 3 from the next request on']]);
  return command.action(async (name: string, versionText: string, options: ServerOptions & OutputOptions) => {
    const version = parseVersion(versionText);
    const client = serverClient(context, options);
    const { etag } = await readPointer(client, name);
    print(context, options, await activateVersion(client, name, version, etag), () => [`${name} serves version ${version}`]);
  });
}
