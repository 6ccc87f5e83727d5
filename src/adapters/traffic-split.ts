// Which requests a canary answers. Pure: equal keys always get the same answer, and a larger share keeps those that a smaller one took.
import { createHash } from 'node:crypto';
import type { AdapterName, TenantId } from '../core/index.ts';
import type { Canary } from './port.ts';

/** Bits of the hash that are compared with the share; a double holds them exactly. */
const BITS = 48;

/**
 * Whether a request with this key belongs to the canary's share. The canary's version takes part in the hash, so that each new canary meets
 * other keys.
 */
export function takesCanary(tenant: TenantId, name: AdapterName, canary: Canary, key: string): boolean {
  const hash = createHash('sha256')
    .update(JSON.stringify([tenant, name, canary.version, key]))
    .digest();
  return hash.readUIntBE(0, BITS / 8) / 2 ** BITS < canary.share;
}
