// Making a name serve what a source names, as vLLM's load_lora_adapter asks: another adapter of the registry, or one of the import folder.
import { randomUUID } from 'node:crypto';
import { AppError, isAppError, type AdapterName, type TenantId } from '../core/index.ts';
import type { AdapterVersionRow } from '../storage/index.ts';
import { copyFromImportFolder } from './import-folder.ts';
import type { Publication, Publisher } from './publication.ts';

export interface LoadingParts {
  readonly publisher: Publisher;
  readonly uploadFolder: string;
  /** null: only references are taken. */
  readonly importFolder: string | null;
  readonly maxFileBytes: number;
  /** Whether the tenant's own adapter of this name has an active version. */
  readonly isActive: (tenant: TenantId, name: AdapterName) => boolean;
  /** The row behind a reference, kept from garbage until `release`. @throws AppError adapter_not_found. */
  readonly holdRow: (tenant: TenantId, reference: string) => { readonly row: AdapterVersionRow; readonly release: () => void };
}

export class AdapterLoader {
  private readonly parts: LoadingParts;
  /** Names that are being loaded: two loads of one name are not to pass the same check. */
  private readonly busy = new Set<string>();

  constructor(parts: LoadingParts) {
    this.parts = parts;
  }

  /** The version is active when this resolves. See `AdapterRegistry.load`. */
  async load(tenant: TenantId, name: AdapterName, source: string, options: { readonly inPlace: boolean }): Promise<Publication> {
    const key = `${tenant}/${name}`;
    if (!options.inPlace && (this.busy.has(key) || this.parts.isActive(tenant, name))) throw alreadyLoaded(name);
    this.busy.add(key);
    try {
      return this.copyOfReference(tenant, name, source) ?? (await this.fromImportFolder(tenant, name, source));
    } finally {
      this.busy.delete(key);
    }
  }

  /** A reference wins over a path of the same text. */
  private copyOfReference(tenant: TenantId, name: AdapterName, source: string): Publication | null {
    const held = this.holdIfReference(tenant, source);
    if (held === null) return null;
    try {
      return this.parts.publisher.publishCopy(tenant, name, held.row);
    } finally {
      held.release();
    }
  }

  private async fromImportFolder(tenant: TenantId, name: AdapterName, source: string): Promise<Publication> {
    const { publisher, importFolder, uploadFolder: folder, maxFileBytes } = this.parts;
    if (importFolder === null) {
      throw new AppError('adapter_not_found', `No adapter found for '${source.slice(0, 200)}'`, { param: 'lora_path' });
    }
    const copies = await copyFromImportFolder(importFolder, source, { folder, prefix: `load-${randomUUID()}`, maxFileBytes });
    return await publisher.publish(tenant, name, copies, true);
  }

  private holdIfReference(tenant: TenantId, source: string): ReturnType<LoadingParts['holdRow']> | null {
    try {
      return this.parts.holdRow(tenant, source);
    } catch (error) {
      if (isAppError(error) && error.code === 'adapter_not_found') return null;
      throw error;
    }
  }
}

/** The words of vLLM, which its clients look for. */
function alreadyLoaded(name: AdapterName): AppError {
  return new AppError(
    'invalid_request',
    `The lora adapter '${name}' has already been loaded. If you want to load the adapter in place, set 'load_inplace' to True.`,
    { param: 'lora_name' },
  );
}
