// The storage port in domain verbs: no SQL, connection or transaction type leaves this room.
import type { Readable } from 'node:stream';
import type { AdapterName, Digest, TenantId } from '../core/index.ts';
import type { FileStore, JobStore } from './training-ports.ts';

export interface AdapterFileRow {
  readonly fileName: string;
  readonly digest: Digest;
  readonly bytes: number;
}

export interface AdapterVersionRow {
  readonly tenant: TenantId;
  readonly name: AdapterName;
  readonly version: number;
  readonly packedDigest: Digest;
  /** Original files, by file name. */
  readonly files: readonly AdapterFileRow[];
  readonly kind: string;
  readonly rank: number;
  readonly targetModules: readonly string[];
  /** Digest of the base that it was validated against. */
  readonly baseDigest: Digest;
  readonly createdAtMs: number;
}

/** A second version of a name that takes a part of its requests. */
export interface CanaryRow {
  readonly version: number;
  /** Part of the requests, above 0 and below 1. */
  readonly share: number;
}

/** Rows in the order of their names. */
export interface NamePage {
  /** Names behind this one; absent: from the first. */
  readonly after?: string;
  readonly limit: number;
}

export interface AdapterRow {
  readonly tenant: TenantId;
  readonly name: AdapterName;
  readonly activeVersion: number | null;
  /** Not null only beside an active version, and never that one. */
  readonly canary: CanaryRow | null;
  /** Counts changes of pointer and canary; the etag is made from it. */
  readonly generation: number;
  /** Number of the next version; survives removal, so no number is used twice. */
  readonly nextVersion: number;
  /** Versions that exist now; an adapter without any does not exist. */
  readonly versionCount: number;
  readonly pinned: boolean;
  readonly mode: 'auto' | 'side' | 'merged';
}

export interface PlacedVersion {
  readonly row: AdapterVersionRow;
  readonly mode: 'side' | 'merged';
}

export interface AdapterStore {
  /** Inserts the version (number chosen here) and, if asked, moves the pointer, in one transaction. Durable on return. */
  addVersion(row: Omit<AdapterVersionRow, 'version'>, options: { readonly activate: boolean }): AdapterVersionRow;
  adapter(tenant: TenantId, name: AdapterName): AdapterRow | null;
  /** By name; all of them, or a page. */
  adapters(tenant: TenantId, page?: NamePage): readonly AdapterRow[];
  /** The active version of each of the tenant's adapters that has one; of all names, or of those after `after` up to `through`. */
  activeVersions(tenant: TenantId, range?: { readonly after: string; readonly through: string }): readonly AdapterVersionRow[];
  /** Active versions and canaries of the pinned adapters of all tenants, by tenant, name and version. */
  pinnedVersions(): readonly AdapterVersionRow[];
  /** The same of adapters with a mode other than `auto`, with that mode. */
  placedVersions(): readonly PlacedVersion[];
  version(tenant: TenantId, name: AdapterName, version: number): AdapterVersionRow | null;
  /** Ascending. */
  versions(tenant: TenantId, name: AdapterName): readonly AdapterVersionRow[];
  /**
   * Moves the pointer, and sets the canary or (null) ends it, if the versions exist, differ, and `generation` is still the stored one; answers
   * the new row, or null.
   */
  activate(tenant: TenantId, name: AdapterName, version: number, generation: number, canary?: CanaryRow | null): AdapterRow | null;
  /** Empties the pointer and ends the canary; the versions stay. Null when there is no such adapter, or no active version. */
  deactivate(tenant: TenantId, name: AdapterName): AdapterRow | null;
  setPlacement(
    tenant: TenantId,
    name: AdapterName,
    placement: { readonly pinned?: boolean; readonly mode?: 'auto' | 'side' | 'merged' },
  ): AdapterRow | null;
  /** Removes every version. Generation and next version number live on for a later adapter of the same name. */
  removeAdapter(tenant: TenantId, name: AdapterName): boolean;
  /** Removing the active version empties the pointer and ends the canary; removing the canary ends it; removing the last version removes the adapter. */
  removeVersion(tenant: TenantId, name: AdapterName, version: number): boolean;
  /** Every blob digest that some row of the database refers to, whichever room the row belongs to. */
  referencedDigests(): ReadonlySet<Digest>;
  /** The same question for one digest. */
  isReferenced(digest: Digest): boolean;
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
  /** A blob lies at `<folder>/<first two hex digits>/<digest>`; the engine process follows the same rule. */
  readonly folder: string;
  /** Folder for temporary files on the same file system. */
  readonly temporaryFolder: string;
  /**
   * Moves a finished temporary file in: fsync, rename to its digest, fsync of the folder. The file is consumed. A damaged blob of that digest is
   * replaced. Answers digest and size.
   */
  adopt(temporaryPath: string): Promise<{ readonly digest: Digest; readonly bytes: number }>;
  put(bytes: Uint8Array): Promise<Digest>;
  /** Path of a blob for reading. */
  path(digest: Digest): string;
  has(digest: Digest): boolean;
  /** Whether the blob is there and its bytes have its digest; reads all of it. */
  isIntact(digest: Digest): Promise<boolean>;
  open(digest: Digest): { readonly stream: Readable; readonly bytes: number };
  /** Removing what is not there is no error. */
  remove(digest: Digest): Promise<void>;
  list(): readonly Digest[];
}

/** The one owner of a data directory, from open to close. */
export interface Storage {
  readonly adapters: AdapterStore;
  readonly keys: KeyStore;
  readonly files: FileStore;
  readonly jobs: JobStore;
  readonly blobs: BlobStore;
  close(): void;
}
