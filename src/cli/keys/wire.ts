// One shape for keys from both homes: the directory's own summaries and the server's JSON.
import { AppError, NAME_RULE, parseTenantId, type TenantId } from '../../core/index.ts';
import type { KeySummary } from '../../tenants/index.ts';
import { formatTime } from '../output.ts';

/** A key as `keys list --json` prints it and as the server answers it. Times are seconds since the epoch. */
export interface WireKey {
  readonly id: string;
  readonly tenant: string;
  readonly role: string;
  readonly created_at: number;
  readonly last_used_at: number | null;
}

export function toWireKey({ id, tenant, role, createdAtMs, lastUsedAtMs }: KeySummary): WireKey {
  const seconds = (milliseconds: number): number => Math.floor(milliseconds / 1000);
  return { id, tenant, role, created_at: seconds(createdAtMs), last_used_at: lastUsedAtMs === null ? null : seconds(lastUsedAtMs) };
}

export function keyRow({ id, tenant, role, created_at: createdAt, last_used_at: lastUsedAt }: WireKey): string[] {
  return [id, tenant, role, formatTime(createdAt * 1000), formatTime(lastUsedAt === null ? null : lastUsedAt * 1000)];
}

export function parseTenant(text: string): TenantId {
  const tenant = parseTenantId(text);
  if (tenant === undefined) throw new AppError('usage', `--tenant "${text}": expected ${NAME_RULE}`);
  return tenant;
}
