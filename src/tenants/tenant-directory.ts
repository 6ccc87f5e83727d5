// Who calls: API keys, their tenants and roles. Keys are held in memory by digest, so that no request waits for the database.
import { timingSafeEqual } from 'node:crypto';
import {
  AppError,
  DEFAULT_TENANT,
  SAMPLES_TENANT,
  systemClock,
  systemRandom,
  type Clock,
  type Digest,
  type Random,
  type TenantId,
} from '../core/index.ts';
import type { KeyRow, KeyStore } from '../storage/index.ts';
import type { KeySummary, Principal, Role, TenantDirectory } from './port.ts';
import { parseRole, ROLES } from './roles.ts';
import { createKeyId, createSecret, digestSecret, isSecret } from './secret.ts';

/** A key's last use is written when the stored one is older than this. */
const TOUCH_INTERVAL_MS = 5 * 60_000;
/** Longer headers are refused unread. */
const MAX_AUTHORIZATION_CHARACTERS = 256;
const UNAUTHORIZED = 'a valid API key is required: send "Authorization: Bearer lk_..."';

export interface TenantDirectoryParts {
  readonly keys: KeyStore;
  readonly clock?: Clock;
  readonly random?: Random;
}

/**
 * Loads all keys; the store must have no other writer.
 * @throws Error when the store holds a key with an unknown role.
 */
export function createTenantDirectory(parts: TenantDirectoryParts): TenantDirectory {
  return new StoredTenantDirectory(parts);
}

interface HeldKey extends KeySummary {
  readonly secretDigest: Digest;
}

class StoredTenantDirectory implements TenantDirectory {
  private readonly store: KeyStore;
  private readonly clock: Clock;
  private readonly random: Random;
  private readonly keysByDigest: Map<Digest, HeldKey>;

  constructor({ keys, clock = systemClock, random = systemRandom }: TenantDirectoryParts) {
    this.store = keys;
    this.clock = clock;
    this.random = random;
    this.keysByDigest = new Map(keys.all().map((row) => [row.secretDigest, heldKey(row)]));
  }

  authenticate(authorization: string | undefined): Principal {
    if (!this.hasKeys()) return { tenant: DEFAULT_TENANT, role: 'operator', keyId: null };
    const secret = bearerSecret(authorization);
    const key = secret === undefined ? undefined : this.find(secret);
    if (key === undefined) throw new AppError('unauthorized', UNAUTHORIZED);
    this.noteUse(key);
    return { tenant: key.tenant, role: key.role, keyId: key.id };
  }

  hasKeys(): boolean {
    return this.keysByDigest.size > 0;
  }

  createKey(tenant: TenantId, role: Role): { readonly secret: string; readonly key: KeySummary } {
    if (tenant === SAMPLES_TENANT) {
      throw new AppError('invalid_request', `the tenant "${tenant}" holds the sample adapters and has no keys: choose another name`, {
        param: 'tenant',
      });
    }
    if (!this.hasKeys() && role !== 'operator') {
      throw new AppError(
        'invalid_request',
        `the first key must have role operator, got ${role}: without one nobody could manage the server`,
        {
          param: 'role',
        },
      );
    }
    const secret = createSecret(this.random);
    const row: KeyRow = {
      id: createKeyId(this.random),
      tenant,
      role,
      secretDigest: digestSecret(secret),
      createdAtMs: this.clock.now(),
      lastUsedAtMs: null,
    };
    this.store.add(row);
    const key = heldKey(row);
    this.keysByDigest.set(row.secretDigest, key);
    return { secret, key: summarize(key) };
  }

  listKeys(tenant: TenantId | null): readonly KeySummary[] {
    return [...this.keysByDigest.values()].filter((key) => tenant === null || key.tenant === tenant).map(summarize);
  }

  revokeKey(id: string, tenant: TenantId | null): void {
    const key = [...this.keysByDigest.values()].find((held) => held.id === id && (tenant === null || held.tenant === tenant));
    if (key === undefined) throw new AppError('not_found', 'no such key');
    if (key.role === 'operator' && !this.hasOtherOperator(key)) {
      // Revoking it would lock everybody out, or open a server that was closed.
      throw new AppError('conflict', 'this is the last operator key: create another one before you revoke it');
    }
    this.store.remove(key.id);
    this.keysByDigest.delete(key.secretDigest);
  }

  private find(secret: string): HeldKey | undefined {
    const digest = digestSecret(secret);
    const key = this.keysByDigest.get(digest);
    // The map compares digests, not secrets, so its timing tells nothing usable; the last word still has a comparison of constant time.
    return key !== undefined && timingSafeEqual(Buffer.from(key.secretDigest, 'hex'), Buffer.from(digest, 'hex')) ? key : undefined;
  }

  private hasOtherOperator(key: HeldKey): boolean {
    return [...this.keysByDigest.values()].some((other) => other.id !== key.id && other.role === 'operator');
  }

  private noteUse(key: HeldKey): void {
    const nowMs = this.clock.now();
    if (key.lastUsedAtMs !== null && nowMs - key.lastUsedAtMs < TOUCH_INTERVAL_MS) return;
    this.store.touch(key.id, nowMs);
    this.keysByDigest.set(key.secretDigest, { ...key, lastUsedAtMs: nowMs });
  }
}

function bearerSecret(authorization: string | undefined): string | undefined {
  if (authorization === undefined || authorization.length > MAX_AUTHORIZATION_CHARACTERS) return undefined;
  const secret = /^Bearer ([^ ]+)$/i.exec(authorization.trim())?.[1];
  return secret !== undefined && isSecret(secret) ? secret : undefined;
}

function heldKey(row: KeyRow): HeldKey {
  const role = parseRole(row.role);
  if (role === undefined) throw new Error(`key ${row.id} has the unknown role ${row.role}, expected one of ${ROLES.join(', ')}`);
  return { ...row, role };
}

function summarize({ id, tenant, role, createdAtMs, lastUsedAtMs }: HeldKey): KeySummary {
  return { id, tenant, role, createdAtMs, lastUsedAtMs };
}
