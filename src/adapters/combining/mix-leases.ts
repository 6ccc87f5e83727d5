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

/** Held until those who waited for it hold it themselves. */
interface Newborn extends Derived {
  readonly endHold: () => void;
}

interface Kept extends Derived {
  readonly partDigests: ReadonlySet<Digest>;
  readonly endHold: () => void;
}

/** Mixes that wait for the one that is computed; more are refused. */
const MAX_WAITING = 16;

export class MixLeases {
  readonly #parts: MixLeasesParts;
  readonly #kept: LRUCache<string, Kept>;
  readonly #flights = new Map<string, Promise<Newborn>>();
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
      const { digest } = await this.#derive(tenant, canonical, rows);
      endHolds.push(this.#parts.garbage.holds.hold([digest]));
      return { label, digest, versions, release };
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Drops what was made of these packed forms; requests that use it finish. */
  forget(digests: readonly Digest[]): void {
    for (const [key, { partDigests }] of this.#kept) {
      if (digests.some((digest) => partDigests.has(digest))) this.#kept.delete(key);
    }
  }

  /** Single flight for each mix. The digest stays held until the next turn at least. */
  async #derive(tenant: TenantId, canonical: CanonicalMix, rows: readonly LeasedRow[]): Promise<Derived> {
    const key = keyOf(tenant, canonical, rows);
    const kept = this.#kept.get(key);
    if (kept !== undefined) return kept;
    const running = this.#flights.get(key);
    if (running !== undefined) return await running;
    if (this.#flights.size > MAX_WAITING) {
      throw new AppError('overloaded', `${this.#flights.size} mixes of adapters are being made; try again soon`, { retryAfterSeconds: 2 });
    }
    const flight = this.#queue.run(async () => await this.#make(key, canonical, rows)).finally(() => this.#flights.delete(key));
    this.#flights.set(key, flight);
    const newborn = await flight;
    // Whoever waits for the flight goes on before the next turn.
    setImmediate(newborn.endHold);
    return newborn;
  }

  async #make(key: string, { parts, recipe }: CanonicalMix, rows: readonly LeasedRow[]): Promise<Newborn> {
    const { blobs, blobChanges, base, maxRank, compute } = this.#parts;
    const target = path.join(blobs.temporaryFolder, `mix-${randomUUID()}`);
    const tasked = parts.map(({ version, weight }) => {
      const { lease, row } = rowOf(rows, version);
      const files = row.files.map((file) => ({ ...file, path: blobs.path(file.digest) }));
      return { label: labelOf(version), weight, packedPath: lease.packedPath, files };
    });
    try {
      await compute({ base, parts: tasked, recipe, maxRank, target });
      return await blobChanges.run(async () => this.#keep(key, parts, await blobs.adopt(target)));
    } catch (error) {
      await rm(target, { force: true });
      throw error;
    }
  }

  #keep(key: string, parts: CanonicalMix['parts'], derived: Derived): Newborn {
    const { garbage, maxBytes } = this.#parts;
    const endHold = garbage.holds.hold([derived.digest]);
    // It has no row: it goes as soon as nothing holds it.
    garbage.suspect([derived.digest]);
    if (derived.bytes <= maxBytes) {
      const partDigests = new Set(parts.map(({ version }) => version.digest));
      this.#kept.set(key, { ...derived, partDigests, endHold: garbage.holds.hold([derived.digest]) });
    }
    return { ...derived, endHold };
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
