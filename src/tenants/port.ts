// What the front sees of tenants: who calls, and what the role allows.
import type { TenantId } from '../core/index.ts';

export type Role = 'inference' | 'admin' | 'operator';

export interface Principal {
  readonly tenant: TenantId;
  readonly role: Role;
  /** Public id of the key; null on an open server. */
  readonly keyId: string | null;
}

export interface KeySummary {
  readonly id: string;
  readonly tenant: TenantId;
  readonly role: Role;
  readonly createdAtMs: number;
  readonly lastUsedAtMs: number | null;
}

export interface TenantDirectory {
  /** Throws unauthorized for a missing, malformed or unknown key once any key exists; else answers the default tenant's operator. */
  authenticate(authorization: string | undefined): Principal;
  hasKeys(): boolean;
  /** The secret is returned once and never stored. */
  createKey(tenant: TenantId, role: Role): { readonly secret: string; readonly key: KeySummary };
  listKeys(tenant: TenantId | null): readonly KeySummary[];
  /** Throws not_found when the key is missing or belongs to another tenant than the given one (null: any tenant). */
  revokeKey(id: string, tenant: TenantId | null): void;
}
