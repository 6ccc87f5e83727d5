// `lorikeet adapters activate`: points a name at one of its versions.
import { Command } from 'commander';
import { AppError } from '../../core/index.ts';
import { serverClient, type ServerOptions } from '../client.ts';
import type { CommandContext } from '../context.ts';
import { addExamples, addServer } from '../options.ts';
import { type OutputOptions, print } from '../output.ts';
import { activateVersion, parseVersion, readPointer } from './wire.ts';

interface ActivateOptions extends ServerOptions, OutputOptions {
  readonly canary?: string;
  readonly share?: string;
}

export function adaptersActivateCommand(context: CommandContext): Command {
  const command = new Command('activate')
    .description('switch an adapter to one of its versions; nothing restarts, requests in flight finish on the old one')
    .argument('<name>', 'adapter')
    .argument('<version>', 'version number, see "adapters list <name>"');
  command.option('--canary <version>', 'another version that answers a share of the requests; without it, an earlier canary ends');
  command.option('--share <part>', 'share of the canary, above 0 and below 1', '0.1');
  addExamples(addServer(command), [
    ['adapters activate my-adapter 3', 'serve version 3 from the next request on'],
    ['adapters activate my-adapter 3 --canary 4 --share 0.05', 'and let version 4 answer one request in twenty'],
  ]);
  return command.action(async (name: string, versionText: string, options: ActivateOptions) => {
    const version = parseVersion(versionText);
    const canary = options.canary === undefined ? null : { version: parseVersion(options.canary), share: parseShare(options.share ?? '') };
    const client = serverClient(context, options);
    const { etag } = await readPointer(client, name);
    const split = canary === null ? '' : `, and version ${canary.version} to a share of ${canary.share}`;
    print(context, options, await activateVersion(client, name, { version, canary }, etag), () => [
      `${name} serves version ${version}${split}`,
    ]);
  });
}

function parseShare(text: string): number {
  const share = /^0?\.\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (!(share > 0)) throw new AppError('usage', `share "${text}": expected a number above 0 and below 1, for example 0.1`);
  return share;
}
