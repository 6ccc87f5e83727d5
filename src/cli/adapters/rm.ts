// `lorikeet adapters rm`: removes a name with all versions, or one version.
import { Command } from 'commander';
import { serverClient, type ServerOptions } from '../client.ts';
import type { CommandContext } from '../context.ts';
import { addExamples, addServer } from '../options.ts';
import { type OutputOptions, print } from '../output.ts';
import { adapterPath, parseVersion } from './wire.ts';

export function adaptersRemoveCommand(context: CommandContext): Command {
  const command = new Command('rm')
    .description('remove an adapter with all its versions, or one version; requests in flight finish')
    .argument('<name>', 'adapter')
    .argument('[version]', 'only this version');
  addExamples(addServer(command), [
    ['adapters rm my-adapter', 'remove it with all versions'],
    ['adapters rm my-adapter 2', 'remove version 2'],
  ]);
  return command.action(async (name: string, versionText: string | undefined, options: ServerOptions & OutputOptions) => {
    const version = versionText === undefined ? null : parseVersion(versionText);
    await serverClient(context, options).response(`${adapterPath(name)}${version === null ? '' : `/versions/${version}`}`, {
      method: 'DELETE',
    });
    const what = version === null ? name : `version ${version} of ${name}`;
    print(context, options, { name, version, removed: true }, () => [`removed ${what}`]);
  });
}
