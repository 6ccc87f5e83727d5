// The upload half of the registry: parts on disk become blobs, a version row and, if asked, the active version. In this order, so that a
// crash at any point leaves only blobs without rows, which the next start collects.
import { rm, stat } from 'node:fs/promises';
import { AppError, type AdapterName, type Clock, type Digest, type TenantId } from '../core/index.ts';
import type { AdapterFileRow, AdapterVersionRow, Storage } from '../storage/index.ts';
import { readAsPeft } from './adapter-files.ts';
import type { GarbageCollector } from './garbage.ts';
import { packAdapter, type PackedUpload, type PackingContext } from './pack-adapter.ts';
import type { UploadPart } from './port.ts';
import { SerialQueue } from './serial-queue.ts';

const PART_NAMES: readonly UploadPart['fileName'][] = ['adapter_config.json', 'adapter_model.safetensors'];
const GGUF_NAME: UploadPart['fileName'] = 'adapter.gguf';

export interface PublicationParts {
  readonly storage: Storage;
  readonly packing: PackingContext & { readonly clock: Clock };
  /** Bytes that one uploaded file may have. */
  readonly maxFileBytes: number;
  readonly garbage: GarbageCollector;
  /** Everything that makes blobs appear or disappear runs here, one after the other. */
  readonly blobChanges: SerialQueue;
}

export interface Publication {
  readonly row: AdapterVersionRow;
  /** False when a version with the same bytes for the same base was there. */
  readonly created: boolean;
}

export class Publisher {
  private readonly parts: PublicationParts;
  /** Packing fills the thread anyway; one at a time bounds memory. */
  private readonly packingQueue = new SerialQueue();

  constructor(parts: PublicationParts) {
    this.parts = parts;
  }

  /** Takes ownership of the uploaded files, whatever happens. */
  async publish(tenant: TenantId, name: AdapterName, upload: readonly UploadPart[], activate: boolean): Promise<Publication> {
    const releases: (() => void)[] = [];
    try {
      await this.checkParts(upload);
      const files = await this.adoptAll(upload, releases);
      const present = this.findSame(tenant, name, files);
      if (present !== undefined && (await this.parts.storage.blobs.isIntact(present.packedDigest))) {
        return this.answerPresent(present, activate);
      }
      const packed = await this.packingQueue.run(async () => await this.pack(files));
      const packedDigest = await this.putHeld(packed.bytes, releases);
      // The same bytes may have been published under the same name while these were packed.
      const rival = this.findSame(tenant, name, files);
      if (rival !== undefined) return this.answerPresent(rival, activate);
      return { row: this.addRow({ tenant, name, files, packedDigest }, packed, activate), created: true };
    } finally {
      await Promise.all(upload.map(async ({ path }) => await rm(path, { force: true })));
      for (const release of releases) release();
    }
  }

  /** Makes `name` serve the bytes of another version, whose blobs the caller holds. */
  publishCopy(tenant: TenantId, name: AdapterName, source: AdapterVersionRow): Publication {
    const own = source.tenant === tenant && source.name === name ? source : this.findSame(tenant, name, source.files);
    if (own !== undefined) return this.answerPresent(own, true);
    const { packedDigest, files, kind, rank, targetModules, baseDigest } = source;
    const row = { tenant, name, packedDigest, files, kind, rank, targetModules, baseDigest, createdAtMs: this.parts.packing.clock.now() };
    return { row: this.parts.storage.adapters.addVersion(row, { activate: true }), created: true };
  }

  private async checkParts(upload: readonly UploadPart[]): Promise<void> {
    const names = upload.map((part) => part.fileName).toSorted();
    if (names.join() !== PART_NAMES.join() && names.join() !== GGUF_NAME) {
      const expected = `the two files ${PART_NAMES.join(' and ')}, or ${GGUF_NAME} alone`;
      throw new AppError('invalid_adapter', `an adapter is ${expected}, got ${names.join(', ') || 'none'}`);
    }
    for (const { path, fileName } of upload) {
      const { size } = await stat(path);
      if (size <= this.parts.maxFileBytes) continue;
      throw new AppError('payload_too_large', `${fileName} has ${size} bytes, at most ${this.parts.maxFileBytes} are allowed`);
    }
  }

  /** Original files become blobs before they are read, so that nothing can change them after validation. */
  private async adoptAll(upload: readonly UploadPart[], releases: (() => void)[]): Promise<readonly AdapterFileRow[]> {
    const { storage, blobChanges } = this.parts;
    return await blobChanges.run(async () => {
      const files: AdapterFileRow[] = [];
      for (const { fileName, path } of upload) {
        const { digest, bytes } = await storage.blobs.adopt(path);
        releases.push(this.hold(digest));
        files.push({ fileName, digest, bytes });
      }
      return files;
    });
  }

  private async pack(files: readonly AdapterFileRow[]): Promise<PackedUpload> {
    const { storage, packing } = this.parts;
    return await packAdapter(await readAsPeft(files, storage.blobs, packing.base), packing);
  }

  private async putHeld(bytes: Uint8Array, releases: (() => void)[]): Promise<Digest> {
    const { storage, blobChanges } = this.parts;
    return await blobChanges.run(async () => {
      const digest = await storage.blobs.put(bytes);
      releases.push(this.hold(digest));
      return digest;
    });
  }

  /** Keeps a blob that has no row yet; it goes when the hold ends and there still is none. */
  private hold(digest: Digest): () => void {
    const release = this.parts.garbage.holds.hold([digest]);
    this.parts.garbage.suspect([digest]);
    return release;
  }

  private addRow(
    identity: Pick<AdapterVersionRow, 'tenant' | 'name' | 'files' | 'packedDigest'>,
    { kind, rank, targetModules }: PackedUpload,
    activate: boolean,
  ): AdapterVersionRow {
    const { storage, packing } = this.parts;
    const row = { ...identity, kind, rank, targetModules, baseDigest: packing.base.digest, createdAtMs: packing.clock.now() };
    return storage.adapters.addVersion(row, { activate });
  }

  /** A version whose files have the same bytes, made for the loaded base. */
  private findSame(tenant: TenantId, name: AdapterName, files: readonly AdapterFileRow[]): AdapterVersionRow | undefined {
    const { storage, packing } = this.parts;
    const identity = fileIdentity(files);
    return storage.adapters
      .versions(tenant, name)
      .findLast((row) => row.baseDigest === packing.base.digest && fileIdentity(row.files) === identity);
  }

  private answerPresent(row: AdapterVersionRow, activate: boolean): Publication {
    const { adapters } = this.parts.storage;
    const adapter = adapters.adapter(row.tenant, row.name);
    if (activate && adapter !== null && adapter.activeVersion !== row.version) {
      adapters.activate(row.tenant, row.name, row.version, adapter.generation);
    }
    return { row, created: false };
  }
}

function fileIdentity(files: readonly AdapterFileRow[]): string {
  return files
    .map(({ fileName, digest }) => `${fileName} ${digest}`)
    .toSorted()
    .join();
}
