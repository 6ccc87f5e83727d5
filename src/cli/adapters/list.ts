// `lorikeet adapters list`.
import { Command } from 'commander';
import { serverClient, type ServerOptions } from '../client.ts';
import type { CommandContext } from '../context.ts';
import { addExamples, addServer } from '../options.ts';
import { formatBytes, type OutputOptions, print, table } from '../output.ts';
import { adapterPath, cell, listEntries } from './wire.ts';

export function adaptersListCommand(context: CommandContext): Command {
  const command = new Command('list')
    .description('list the adapters that your key may use, or the versions of one')
    .argument('[name]', 'adapter whose versions to list');
  addExamples(addServer(command), [
    ['adapters list', 'every adapter with its active version'],
    ['adapters list my-adapter --json', 'the versions of one, as JSON'],
  ]);
  return command.action(async (name: string | undefined, options: ServerOptions & OutputOptions) => {
    const body = await serverClient(context, options).json(name === undefined ? '/v1/adapters' : `${adapterPath(name)}/versions`);
    const header = ['name', 'version', 'kind', 'rank', 'size', 'modules', 'digest'];
    print(context, options, body, () => table(header, listEntries(body).map(adapterRow)));
  });
}

function adapterRow(entry: Readonly<Record<string, unknown>>): string[] {
  const { name, version, kind, rank, bytes, target_modules: modules, digest } = entry;
  const size = typeof bytes === 'number' ? formatBytes(bytes) : '-';
  return [cell(name), cell(version), cell(kind), cell(rank), size, cell(modules), cell(digest).replace('sha256:', '').slice(0, 12)];
}
