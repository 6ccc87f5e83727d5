// The adapter API's JSON as this client reads it: only the fields that a command shows or needs, checked on arrival.
import { AppError } from '../../core/index.ts';
import { asRecord, type ServerClient } from '../client.ts';

/** An adapter's own address on the server. */
export function adapterPath(name: string): string {
  return `/v1/adapters/${encodeURIComponent(name)}`;
}

export function adminPath(name: string, action: 'active' | 'placement'): string {
  return `/admin/adapters/${encodeURIComponent(name)}/${action}`;
}

/** The entries of a list answer, `{"data": [...]}`. */
export function listEntries(body: unknown): readonly Readonly<Record<string, unknown>>[] {
  const { data } = asRecord(body);
  if (!Array.isArray(data)) throw new AppError('internal', 'the server answered no list ({"data": [...]}); is it another version?');
  return data.map(asRecord);
}

export interface AdapterPointer {
  /** Active version; null while every version is only staged. */
  readonly version: number | null;
  readonly etag: string;
}

/** Where the adapter's name points now, with the tag that a change of it must present. */
export async function readPointer(client: ServerClient, name: string): Promise<AdapterPointer> {
  const response = await client.response(adapterPath(name));
  const etag = response.headers.get('etag');
  if (etag === null) throw new AppError('internal', `the server gave no ETag for adapter "${name}"; is it another version?`);
  const { version } = asRecord(await response.json());
  return { version: typeof version === 'number' ? version : null, etag };
}

/** Version numbers of an adapter, ascending. */
export async function readVersions(client: ServerClient, name: string): Promise<number[]> {
  const entries = listEntries(await client.json(`${adapterPath(name)}/versions`));
  const numbers = entries.map(({ version }) => version).filter((version) => typeof version === 'number');
  return numbers.toSorted((a, b) => a - b);
}

export interface PointerWish {
  readonly version: number;
  readonly canary: { readonly version: number; readonly share: number } | null;
}

/** Points the name at a version, and a share of its requests at a canary, unless someone else moved it since `etag` was read. */
export async function activateVersion(client: ServerClient, name: string, wish: PointerWish, etag: string): Promise<unknown> {
  return await client.json(adminPath(name, 'active'), { method: 'PUT', body: { ...wish }, headers: { 'if-match': etag } });
}

export function parseVersion(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new AppError('usage', `version "${text}": expected a whole number from 1`);
  return Number(text);
}

/** A cell of a table: what the server gave, or a dash. */
export function cell(value: unknown): string {
  if (Array.isArray(value)) return value.join(' ');
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : '-';
}
