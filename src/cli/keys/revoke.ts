// `lorikeet keys revoke`.
import { Command } from 'commander';
import type { ServerOptions } from '../client.ts';
import type { CommandContext } from '../context.ts';
import { addExamples, addServer, addSettingFlags } from '../options.ts';
import { type OutputOptions, print } from '../output.ts';
import { withKeys } from './directory.ts';

type RevokeOptions = ServerOptions & OutputOptions & Readonly<Record<string, unknown>>;

export function keysRevokeCommand(context: CommandContext): Command {
  const command = new Command('revoke')
    .description('revoke an API key; requests with it are refused from then on')
    .argument('<id>', 'id of the key, see "keys list"');
  addSettingFlags(addServer(command), ['dataDir', 'host', 'port']);
  addExamples(command, [['keys revoke 3f9a0c21', 'revoke one key']]);
  return command.action(async (id: string, options: RevokeOptions) => {
    await withKeys(context, options, async (home) => {
      if (home.kind === 'offline') home.keys.revokeKey(id, null);
      else await home.client.response(`/admin/keys/${encodeURIComponent(id)}`, { method: 'DELETE' });
    });
    print(context, options, { id, revoked: true }, () => [`revoked key ${id}`]);
  });
}
