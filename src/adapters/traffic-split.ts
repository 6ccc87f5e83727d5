// Which requests a canary answers. Pure: equal keys always get the same answer, and a larger share keeps those that a smaller one took.
import { createHash } from 'node:crypto';
import { type AdapterName, AppError, type TenantId } from '../core/index.ts';
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

/** @throws AppError invalid_request when the share is no share, or both versions are one. */
export function checkCanary(activeVersion: number, { version, share }: Canary): void {
  if (!(share > 0 && share < 1)) {
    throw new AppError('invalid_request', `"share": got ${share}, expected a number above 0 and below 1`, { param: 'canary' });
  }
  if (version === activeVersion) {
    throw new AppError('invalid_request', `"canary": got version ${version} for both, expected another one than the active`, {
      param: 'canary',
    });
  }
}
