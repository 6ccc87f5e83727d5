// `lorikeet keys create`: makes a key and shows its secret this once.
import { Command, Option } from 'commander';
import { DEFAULT_TENANT } from '../../core/index.ts';
import { type Role, ROLES } from '../../tenants/index.ts';
import { asRecord, type ServerOptions } from '../client.ts';
import type { CommandContext } from '../context.ts';
import { addExamples, addServer, addSettingFlags } from '../options.ts';
import { type OutputOptions, print } from '../output.ts';
import { type KeyHome, withKeys } from './directory.ts';
import { parseTenant, toWireKey } from './wire.ts';

interface CreateOptions extends ServerOptions, OutputOptions, Readonly<Record<string, unknown>> {
  readonly tenant: string;
  readonly role: Role;
}

export function keysCreateCommand(context: CommandContext): Command {
  const command = new Command('create')
    .description('create an API key; its secret is shown once and not stored')
    .option('--tenant <name>', 'tenant that the key belongs to', DEFAULT_TENANT)
    .addOption(new Option('--role <role>', 'what the key may do; the first key must be an operator').choices(ROLES).default('inference'));
  addSettingFlags(addServer(command), ['dataDir', 'host', 'port']);
  addExamples(command, [
    ['keys create --role operator', 'the first key; from then on every request needs one'],
    ['keys create --tenant acme --role admin', 'for a tenant that manages its own adapters'],
  ]);
  return command.action(async (options: CreateOptions) => {
    const created = await withKeys(context, options, (home) => create(home, options));
    print(context, options, created, () => [created.secret]);
    if (options.json !== true)
      context.notes.write(`key ${created.id} of tenant ${created.tenant}, role ${created.role}; keep it, it is not shown again\n`);
  });
}

interface CreatedKey {
  readonly id: string;
  readonly tenant: string;
  readonly role: string;
  readonly secret: string;
}

async function create(home: KeyHome, { tenant: tenantText, role }: CreateOptions): Promise<CreatedKey> {
  const tenant = parseTenant(tenantText);
  if (home.kind === 'offline') {
    const { secret, key } = home.keys.createKey(tenant, role);
    return { ...toWireKey(key), secret };
  }
  return asRecord(await home.client.json('/admin/keys', { method: 'POST', body: { tenant, role } })) as unknown as CreatedKey;
}
