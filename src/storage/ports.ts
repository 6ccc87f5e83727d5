// The storage port in domain verbs: no SQL, connection or transaction type leaves this room.
import type { Readable } from 'node:stream';
import type { AdapterName, Digest, TenantId } from '../core/index.ts';

export interface AdapterVersionRow {
  readonly tenant: TenantId;
  readonly name: AdapterName;
  readonly version: number;
  readonly packedDigest: Digest;
  /** Original files: name, digest and bytes each. */
  readonly files: readonly { readonly fileName: string; readonly digest: Digest; readonly bytes: number }[];
  readonly kind: string;
  readonly rank: number;
  readonly targetModules: readonly string[];
  /** Digest of the base that it was validated against. */
  readonly baseDigest: Digest;
  readonly createdAtMs: number;
}

export interface AdapterRow {
  readonly tenant: TenantId;
  readonly name: AdapterName;
  readonly activeVersion: number | null;
  /** Counts pointer moves; the etag is made from it. */
  readonly generation: number;
  readonly nextVersion: number;
  readonly pinned: boolean;
  readonly mode: 'auto' | 'side' | 'merged';
}

export interface AdapterStore {
  /** Inserts the version (number chosen here) and, if asked, moves the pointer, in one transaction. Durable on return. */
  addVersion(row: Omit<AdapterVersionRow, 'version'>, options: { readonly activate: boolean }): AdapterVersionRow;
  adapter(tenant: TenantId, name: AdapterName): AdapterRow | null;
  adapters(tenant: TenantId): readonly AdapterRow[];
  version(tenant: TenantId, name: AdapterName, version: number): AdapterVersionRow | null;
  versions(tenant: TenantId, name: AdapterName): readonly AdapterVersionRow[];
  /** Moves the pointer if `generation` is still the stored one; answers the new row, or null on a lost race. */
  activate(tenant: TenantId, name: AdapterName, version: number, generation: number): AdapterRow | null;
  setPlacement(tenant: TenantId, name: AdapterName, placement: { readonly pinned?: boolean; readonly mode?: 'auto' | 'side' | 'merged' }): AdapterRow | null;
  removeAdapter(tenant: TenantId, name: AdapterName): boolean;
  /** Removing the active version leaves the pointer empty. */
  removeVersion(tenant: TenantId, name: AdapterName, version: number): boolean;
  /** Every blob digest that some row refers to. */
  referencedDigests(): ReadonlySet<Digest>;
}

export interface KeyRow {
  readonly id: string;
  readonly tenant: TenantId;
  readonly role: string;
  /** SHA-256 of the secret, hexadecimal. */
  readonly secretDigest: Digest;
  readonly createdAtMs: number;
  readonly lastUsedAtMs: number | null;
}

export interface KeyStore {
  add(row: KeyRow): void;
  all(): readonly KeyRow[];
  remove(id: string): boolean;
  touch(id: string, usedAtMs: number): void;
}

/** Content-addressed files. A blob exists whole or not at all. */
export interface BlobStore {
  /** Folder for temporary files on the same file system. */
  readonly temporaryFolder: string;
  /** Moves a finished temporary file in: fsync, rename to its digest, fsync of the folder. The file is consumed. Answers its digest and size. */
  adopt(temporaryPath: string): Promise<{ readonly digest: Digest; readonly bytes: number }>;
  put(bytes: Uint8Array): Promise<Digest>;
  /** Path of a blob for reading; the engine opens blobs by digest below the same folder. */
  path(digest: Digest): string;
  has(digest: Digest): boolean;
  open(digest: Digest): { readonly stream: Readable; readonly bytes: number };
  remove(digest: Digest): Promise<void>;
  list(): readonly Digest[];
}

export interface Storage {
  readonly adapters: AdapterStore;
  readonly keys: KeyStore;
  readonly blobs: BlobStore;
  close(): void;
}
