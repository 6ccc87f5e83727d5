// `lorikeet keys`: who may use a server.
import { Command } from 'commander';
import type { CommandContext } from '../context.ts';
import { keysCreateCommand } from './create.ts';
import { keysListCommand } from './list.ts';
import { keysRevokeCommand } from './revoke.ts';

export function keysCommand(context: CommandContext): Command {
  return new Command('keys')
    .description('create, list and revoke API keys; works on the data directory when no server uses it, else through the server')
    .addCommand(keysCreateCommand(context))
    .addCommand(keysListCommand(context))
    .addCommand(keysRevokeCommand(context));
}
