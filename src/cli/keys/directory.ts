// Where keys live while a command works on them: in the data directory if no server owns it, else behind the server that does.
import { isAppError } from '../../core/index.ts';
import { openStorage, type Storage } from '../../storage/index.ts';
import { createTenantDirectory, type TenantDirectory } from '../../tenants/index.ts';
import { type ServerClient, serverClient, type ServerOptions } from '../client.ts';
import type { CommandContext } from '../context.ts';
import { commandSettings } from '../options.ts';

export type KeyHome =
  | { readonly kind: 'offline'; readonly keys: TenantDirectory }
  | { readonly kind: 'server'; readonly client: ServerClient };

/**
 * Runs `use` on the data directory, or, when --url is given or another process owns the directory, on the server.
 * If no server answers either, the failure is that of the directory.
 */
export async function withKeys<T>(
  context: CommandContext,
  options: ServerOptions & Readonly<Record<string, unknown>>,
  use: (home: KeyHome) => Promise<T>,
): Promise<T> {
  if (options.url !== undefined) return await use({ kind: 'server', client: serverClient(context, options) });
  const { settings } = commandSettings(context, options);
  let storage: Storage;
  try {
    storage = openStorage(settings.dataDir);
  } catch (error) {
    if (!isAppError(error) || error.code !== 'conflict') throw error;
    return await throughOwner(context, `http://${settings.host}:${settings.port}`, error, use);
  }
  try {
    return await use({ kind: 'offline', keys: createTenantDirectory({ keys: storage.keys }) });
  } finally {
    storage.close();
  }
}

async function throughOwner<T>(context: CommandContext, url: string, conflict: Error, use: (home: KeyHome) => Promise<T>): Promise<T> {
  try {
    return await use({ kind: 'server', client: serverClient(context, { url: context.environment['LORIKEET_URL'] ?? url }) });
  } catch (error) {
    throw isAppError(error) && error.code === 'engine_unavailable' ? conflict : error;
  }
}
