// What the front's routes see of the adapter registry. Every call names the tenant; missing and foreign look the same.
import type { Readable } from 'node:stream';
import type { AdapterName, Digest, TenantId } from '../core/index.ts';
import type { BlobKeeper } from './blob-keeper.ts';
import type { Mix } from './combining/mix.ts';

export interface AdapterVersion {
  readonly tenant: TenantId;
  readonly name: AdapterName;
  /** Counts from 1 for each name; never used twice, also after deletion. */
  readonly version: number;
  /** Content digest of the packed form. */
  readonly digest: Digest;
  /** Bytes of the original files. */
  readonly bytes: number;
  readonly kind: 'lora';
  /** It replaces whole tensors of the base (modules_to_save), which only a merged model can hold: it has no side path. */
  readonly mergedOnly: boolean;
  /** Largest rank over its sites. */
  readonly rank: number;
  /** Last components of the changed modules, sorted, for example ["q_proj", "v_proj"]. */
  readonly targetModules: readonly string[];
  readonly createdAtMs: number;
}

/** A second version that answers a part of the requests which name the adapter without a version. */
export interface Canary {
  readonly version: number;
  /** Above 0 and below 1. */
  readonly share: number;
}

export interface AdapterSummary {
  readonly tenant: TenantId;
  readonly name: AdapterName;
  /** null while every version is only staged. */
  readonly active: AdapterVersion | null;
  /** Never without an active version, and never that one. */
  readonly canary: Canary | null;
  readonly versionCount: number;
  readonly pinned: boolean;
  readonly mode: 'auto' | 'side' | 'merged';
  /** Shared with this tenant by its owner (the samples), read-only. */
  readonly shared: boolean;
  /** Strong entity tag of pointer and canary, quotes included; changes whenever they do. */
  readonly etag: string;
}

/** Holds one version for one request; the version's bytes stay until release. */
export interface AdapterLease {
  readonly version: AdapterVersion;
  /** File of the packed form. */
  readonly packedPath: string;
  release(): void;
}

/** Holds every part of a mix, and the packed form that was made of them, for one request. */
export interface MixLease {
  /** Versions and weights in their canonical form, for example `poet@3*0.7,sql@1*0.3`. Printable ASCII. */
  readonly label: string;
  /** Content digest of the packed form; null: the mix is the base itself. */
  readonly digest: Digest | null;
  /** The parts, as they were named. */
  readonly versions: readonly AdapterVersion[];
  release(): void;
}

/** A file of an upload, already on disk in the registry's temporary folder: PEFT's two, or one of llama.cpp's kind alone. */
export interface UploadPart {
  readonly fileName: 'adapter_config.json' | 'adapter_model.safetensors' | 'adapter.gguf';
  readonly path: string;
}

/** peft: a tar archive of its two files. gguf: one file. */
export type ExportFormat = 'peft' | 'gguf';

export interface ExportedAdapter {
  /** For example `poet-3.gguf`. */
  readonly fileName: string;
  readonly contentType: string;
  readonly bytes: Uint8Array;
}

export interface AdapterRegistry {
  /** Folder for upload parts, on the same file system as the blobs. Leftovers are removed at start. */
  readonly uploadFolder: string;
  /** The blob store that the adapters lie in, for other rooms' files. */
  readonly keeper: BlobKeeper;
  /**
   * Takes ownership of the parts' files. `created` is false when a version of this name has the same bytes; it is then activated if asked.
   * Throws AppError invalid_adapter, unsupported_adapter, payload_too_large, or invalid_request for the base's name.
   */
  upload(
    tenant: TenantId,
    name: AdapterName,
    parts: readonly UploadPart[],
    options: { readonly activate: boolean },
  ): Promise<{ readonly version: AdapterVersion; readonly created: boolean }>;
  /**
   * The tenant's own adapters and those shared with it, by name; all, or at most `limit` behind the name `after`. An own name hides a shared one;
   * changing a shared one throws forbidden.
   */
  list(tenant: TenantId, page?: { readonly after?: string; readonly limit: number }): readonly AdapterSummary[];
  /** Throws adapter_not_found. */
  get(tenant: TenantId, name: AdapterName): AdapterSummary;
  versions(tenant: TenantId, name: AdapterName): readonly AdapterVersion[];
  /** Original file of a version as it was uploaded. */
  openFile(tenant: TenantId, name: AdapterName, version: number, fileName: string): { readonly stream: Readable; readonly bytes: number };
  /**
   * A version as the files of a format, whatever it was uploaded as. Throws unsupported_adapter when the format has no words for it, or for a
   * version of another base that would have to be converted.
   */
  exportVersion(tenant: TenantId, name: AdapterName, version: number, format: ExportFormat): Promise<ExportedAdapter>;
  /**
   * Compare and set, of the pointer and of the canary beside it; without one, an earlier canary ends. Throws precondition_failed when `ifMatch`
   * is not the present etag ("*" matches any), precondition_required when it is empty, not_found for an unknown version, unsupported_adapter
   * for a version of another base, invalid_request for a canary that is the active version or whose share is not between 0 and 1.
   */
  activate(tenant: TenantId, name: AdapterName, version: number, ifMatch: string, canary?: Canary | null): AdapterSummary;
  /**
   * Makes the tenant's `name` serve what `source` names, at once: an adapter reference (whose bytes are shared, not copied), or a path below the
   * import folder. Throws adapter_not_found; invalid_request for a path that leads out of the folder, and for a name that serves something while
   * `inPlace` is false; and what `upload` throws.
   */
  load(
    tenant: TenantId,
    name: AdapterName,
    source: string,
    options: { readonly inPlace: boolean },
  ): Promise<{ readonly version: AdapterVersion; readonly created: boolean }>;
  /** Empties the pointer: the name answers nobody any more, its versions stay. Throws adapter_not_found when it has no active version. */
  unload(tenant: TenantId, name: AdapterName): AdapterSummary;
  setPlacement(
    tenant: TenantId,
    name: AdapterName,
    placement: { readonly pinned?: boolean; readonly mode?: 'auto' | 'side' | 'merged' },
  ): AdapterSummary;
  /** Waits for no one: leased versions keep their bytes until the last release. */
  remove(tenant: TenantId, name: AdapterName): void;
  removeVersion(tenant: TenantId, name: AdapterName, version: number): void;
  /**
   * Resolves an adapter reference (`[tenant "/"] name ["@" version | "@sha256:" hex]`, api.md) to a pinned version. Throws adapter_not_found,
   * with one same message for malformed, missing and foreign references; unsupported_adapter for a version of another base, or a merged-only
   * one where nothing merges. `splitKey` decides between active version and canary, the same way for the same key; without it the active
   * version is taken.
   */
  lease(tenant: TenantId, reference: string, splitKey?: string): AdapterLease;
  /** PEFT's two files of what a reference names, converted where they were uploaded as GGUF. Throws as `lease` does. */
  readPeft(
    tenant: TenantId,
    reference: string,
  ): Promise<{ readonly version: AdapterVersion; readonly config: Uint8Array; readonly tensors: Uint8Array }>;
  /**
   * Pins every part of a mix and makes its packed form, once for each content. Throws as `lease` for each part; unsupported_adapter when the
   * parts cannot be mixed or their ranks add up to more than is allowed; overloaded.
   */
  leaseMix(tenant: TenantId, mix: Mix, splitKey?: string): Promise<MixLease>;
  /** Leases now held, for metrics and invariants. */
  leaseCount(digest?: Digest): number;
  /** Resolves when the bytes of what was removed and released so far are gone from the disk; for shutdown and tests. */
  settled(): Promise<void>;
}
