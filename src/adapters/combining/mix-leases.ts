// Leases of mixes: every part pinned, the derived packed form made once, kept on disk within a bound, and held while a request uses it.
// Derived blobs have no row: a start collects what is left of them, and they are made again when somebody asks.
import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { LRUCache } from 'lru-cache';
import { AppError, type Digest, type TenantId } from '../../core/index.ts';
import type { BaseModelDescription } from '../../models/index.ts';
import type { AdapterVersionRow, BlobStore } from '../../storage/index.ts';
import type { GarbageCollector } from '../garbage.ts';
import type { AdapterLease, MixLease } from '../port.ts';
import { SerialQueue } from '../serial-queue.ts';
import { canonicalMix, labelOf, type CanonicalMix, type PinnedPart } from './canonical-mix.ts';
import type { MixComputer } from './compute-mix.ts';
import type { Mix } from './mix.ts';

export interface MixLeasesParts {
  readonly blobs: BlobStore;
  /** Everything that makes blobs appear or disappear runs here. */
  readonly blobChanges: SerialQueue;
  readonly garbage: GarbageCollector;
  readonly base: BaseModelDescription;
  readonly maxRank: number;
  readonly compute: MixComputer;
  /** Bytes of derived packed forms that are kept for requests to come. */
  readonly maxBytes: number;
}

export interface LeasedRow {
  readonly lease: AdapterLease;
  readonly row: AdapterVersionRow;
}

interface Derived {
  readonly digest: Digest;
  readonly bytes: number;
}

interface Held {
  readonly digest: Digest;
  readonly endHold: () => void;
}

interface Flight {
  readonly partDigests: ReadonlySet<Digest>;
  /** A part was removed meanwhile: the mix serves those who wait for it and nobody else. */
  isForgotten: boolean;
}

interface Kept extends Derived, Held {
  readonly partDigests: ReadonlySet<Digest>;
}

/** Mixes that wait for the one that is computed; more are refused. */
const MAX_WAITING = 16;

export class MixLeases {
  readonly #parts: MixLeasesParts;
  readonly #kept: LRUCache<string, Kept>;
  readonly #flights = new Map<string, Flight & { readonly made: Promise<Held> }>();
  readonly #queue = new SerialQueue();

  constructor(parts: MixLeasesParts) {
    this.#parts = parts;
    this.#kept = new LRUCache({
      maxSize: Math.max(1, parts.maxBytes),
      sizeCalculation: ({ bytes }) => bytes,
      dispose: ({ endHold }) => endHold(),
    });
  }

  /**
   * @param leasePart - resolves a reference under the caller's rules.
   * @throws AppError as `leasePart`, `unsupported_adapter` for parts that cannot be mixed, `overloaded`; nothing stays held then.
   */
  async lease(tenant: TenantId, mix: Mix, leasePart: (reference: string) => LeasedRow): Promise<MixLease> {
    const held: LeasedRow[] = [];
    const endHolds: (() => void)[] = [];
    const release = (): void => {
      for (const { lease } of held.splice(0)) lease.release();
      for (const endHold of endHolds.splice(0)) endHold();
    };
    try {
      for (const { reference } of mix.parts) held.push(leasePart(reference));
      const rows = [...held];
      const versions = rows.map(({ lease }) => lease.version);
      const canonical = canonicalMix(
        versions.map((version, index) => ({ version, weight: mix.parts[index]?.weight ?? 0 })),
        mix.recipe,
      );
      const { label } = canonical;
      const same = digestWithoutWork(canonical);
      if (same !== undefined) return { label, digest: same, versions, release };
      const { digest, endHold } = await this.#derive(keyOf(tenant, canonical, rows), canonical, rows);
      endHolds.push(endHold);
      return { label, digest, versions, release };
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Drops what was made of these packed forms; requests that use it finish. */
  forget(digests: readonly Digest[]): void {
    const isConcerned = ({ partDigests }: Pick<Flight, 'partDigests'>): boolean => digests.some((digest) => partDigests.has(digest));
    for (const [key, kept] of this.#kept) if (isConcerned(kept)) this.#kept.delete(key);
    for (const flight of this.#flights.values()) if (isConcerned(flight)) flight.isForgotten = true;
  }

  /** Single flight for each mix. */
  async #derive(key: string, canonical: CanonicalMix, rows: readonly LeasedRow[]): Promise<Held> {
    const kept = this.#kept.get(key);
    if (kept !== undefined) return this.#hold(kept.digest);
    const { digest } = await (this.#flights.get(key)?.made ?? this.#start(key, canonical, rows));
    return this.#hold(digest);
  }

  async #start(key: string, canonical: CanonicalMix, rows: readonly LeasedRow[]): Promise<Held> {
    if (this.#flights.size > MAX_WAITING) {
      throw new AppError('overloaded', `${this.#flights.size} mixes of adapters are being made; try again soon`, { retryAfterSeconds: 2 });
    }
    const flight: Flight = { partDigests: new Set(canonical.parts.map(({ version }) => version.digest)), isForgotten: false };
    const made = this.#queue
      .run(async () => this.#keep(key, flight, await this.#make(canonical, rows)))
      .finally(() => this.#flights.delete(key));
    this.#flights.set(key, Object.assign(flight, { made }));
    const held = await made;
    // Whoever waits for the flight goes on, and holds the blob itself, before the next turn.
    setImmediate(held.endHold);
    return held;
  }

  /** Computes the mix and puts its blob, held: it has no row, and goes as soon as nothing holds it. */
  async #make({ parts, recipe }: CanonicalMix, rows: readonly LeasedRow[]): Promise<Derived & Held> {
    const { blobs, blobChanges, garbage, base, maxRank, compute } = this.#parts;
    const target = path.join(blobs.temporaryFolder, `mix-${randomUUID()}`);
    const tasked = parts.map(({ version, weight }) => {
      const { lease, row } = rowOf(rows, version);
      const files = row.files.map((file) => ({ ...file, path: blobs.path(file.digest) }));
      return { label: labelOf(version), weight, packedPath: lease.packedPath, files };
    });
    try {
      await compute({ base, parts: tasked, recipe, maxRank, target });
      return await blobChanges.run(async () => {
        const derived = await blobs.adopt(target);
        const held = this.#hold(derived.digest);
        garbage.suspect([derived.digest]);
        return { ...derived, ...held };
      });
    } catch (error) {
      await rm(target, { force: true });
      throw error;
    }
  }

  #keep(key: string, { partDigests, isForgotten }: Flight, made: Derived & Held): Held {
    const { digest, bytes } = made;
    if (bytes <= this.#parts.maxBytes && !isForgotten) this.#kept.set(key, { bytes, partDigests, ...this.#hold(digest) });
    return made;
  }

  #hold(digest: Digest): Held {
    return { digest, endHold: this.#parts.garbage.holds.hold([digest]) };
  }
}

/** The base's (null), or that of an adapter that is the whole mix; undefined: there is something to compute. */
function digestWithoutWork({ parts, recipe }: CanonicalMix): Digest | null | undefined {
  if (recipe.kind !== 'sum') return undefined;
  const [only, ...more] = parts;
  if (only === undefined) return null;
  return more.length === 0 && only.weight === 1 ? only.version.digest : undefined;
}

function rowOf(rows: readonly LeasedRow[], version: PinnedPart['version']): LeasedRow {
  const found = rows.find(({ lease }) => lease.version === version);
  if (found === undefined) throw new Error('mix: a part was not leased');
  return found;
}

/** A tenant's own, so that nobody sees by the time whether another tenant made the mix. */
function keyOf(tenant: TenantId, { parts, recipe }: CanonicalMix, rows: readonly LeasedRow[]): string {
  const contents = parts.map(({ version, weight }) => {
    const { row } = rowOf(rows, version);
    return [weight, row.packedDigest, ...row.files.map(({ fileName, digest }) => `${fileName} ${digest}`)];
  });
  return JSON.stringify([tenant, recipe, contents]);
}
