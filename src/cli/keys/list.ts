// `lorikeet keys list`.
import { Command } from 'commander';
import { listEntries } from '../adapters/wire.ts';
import type { ServerOptions } from '../client.ts';
import type { CommandContext } from '../context.ts';
import { addExamples, addServer, addSettingFlags } from '../options.ts';
import { type OutputOptions, print, table } from '../output.ts';
import { type KeyHome, withKeys } from './directory.ts';
import { keyRow, parseTenant, toWireKey, type WireKey } from './wire.ts';

interface ListOptions extends ServerOptions, OutputOptions, Readonly<Record<string, unknown>> {
  readonly tenant?: string;
}

export function keysListCommand(context: CommandContext): Command {
  const command = new Command('list').description('list API keys, without their secrets').option('--tenant <name>', 'only this tenant');
  addSettingFlags(addServer(command), ['dataDir', 'host', 'port']);
  addExamples(command, [['keys list --tenant acme', 'the keys of one tenant']]);
  return command.action(async (options: ListOptions) => {
    const keys = await withKeys(context, options, (home) => list(home, options.tenant));
    print(context, options, keys, () => table(['id', 'tenant', 'role', 'created', 'last used'], keys.map(keyRow)));
  });
}

async function list(home: KeyHome, tenantText: string | undefined): Promise<readonly WireKey[]> {
  const tenant = tenantText === undefined ? null : parseTenant(tenantText);
  if (home.kind === 'offline') return home.keys.listKeys(tenant).map(toWireKey);
  const keys = listEntries(await home.client.json('/admin/keys')) as unknown as readonly WireKey[];
  return keys.filter((key) => tenant === null || key.tenant === tenant);
}
