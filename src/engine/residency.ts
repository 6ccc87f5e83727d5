// Packed adapters in host memory, by digest. Leased and pinned entries stay; idle ones sit in a bytes-bounded LRU.
// Knows neither requests nor rows; loading is the source's business.
import { LRUCache } from 'lru-cache';
import type { PackedAdapter } from '../adapters/packed.ts';
import type { Clock, Digest } from '../core/index.ts';
import type { PackedAdapterSource } from './ports.ts';

/** Keeps one packed adapter in memory until release; releasing twice is harmless. */
export interface AdapterResidence {
  readonly digest: Digest;
  readonly adapter: PackedAdapter;
  release(): void;
}

export interface ResidentAdapter {
  readonly digest: Digest;
  readonly bytes: number;
  readonly leases: number;
  readonly loadMs: number;
  /** Leases that found it in memory since it was loaded. */
  readonly hits: number;
  /** It stays in memory although no request uses it. */
  readonly pinned: boolean;
}

interface Entry {
  readonly digest: Digest;
  readonly adapter: PackedAdapter;
  readonly bytes: number;
  readonly loadMs: number;
  leases: number;
  hits: number;
  pinned: boolean;
}

/** What is kept elsewhere for an adapter as long as it is in memory here. */
export interface AdapterCompanion {
  /** Makes it; the adapter counts as loaded when that is done. */
  prepare(adapter: PackedAdapter): Promise<void>;
  bytes(adapter: PackedAdapter): number;
}

const NO_COMPANION: AdapterCompanion = { prepare: () => Promise.resolve(), bytes: () => 0 };

interface Loading {
  readonly done: Promise<Entry>;
  /** Callers that will take a lease the moment it is done: the entry must not pass through the LRU before that. */
  callers: number;
}

/** Of the budget: pins of one tenant must leave the others a cache. */
const PINNED_SHARE = 0.5;

/**
 * Total bytes stay within the budget unless leases and pins alone exceed it; then nothing idle is kept. Pins take at most half of it: what is
 * pinned beyond that is treated as if it were not.
 */
export class AdapterResidency {
  readonly #source: PackedAdapterSource;
  readonly #clock: Clock;
  readonly #budgetBytes: number;
  readonly #companion: AdapterCompanion;
  /** Entries that are leased or pinned. */
  readonly #held = new Map<Digest, Entry>();
  readonly #loading = new Map<Digest, Loading>();
  readonly #idle: LRUCache<Digest, Entry>;
  #wanted: readonly Digest[] = [];
  #prefetched: Promise<void> = Promise.resolve();
  #heldBytes = 0;
  #pinnedBytes = 0;
  #hits = 0;
  #misses = 0;

  constructor(source: PackedAdapterSource, clock: Clock, budgetBytes: number, companion: AdapterCompanion = NO_COMPANION) {
    this.#companion = companion;
    this.#source = source;
    this.#clock = clock;
    this.#budgetBytes = budgetBytes;
    this.#idle = new LRUCache({ maxSize: Math.max(1, budgetBytes), sizeCalculation: (entry) => Math.max(1, entry.bytes) });
  }

  get hits(): number {
    return this.#hits;
  }

  get misses(): number {
    return this.#misses;
  }

  /** Bytes of all adapters in memory, leased and idle. */
  get bytes(): number {
    return this.#heldBytes + this.#idle.calculatedSize;
  }

  /** A lease on an adapter that is in memory, else null. */
  leaseResident(digest: Digest): AdapterResidence | null {
    const entry = this.#held.get(digest) ?? this.#idle.get(digest);
    if (entry === undefined) return null;
    this.#hits += 1;
    entry.hits += 1;
    this.#hold(entry, 1);
    return this.#handle(entry);
  }

  /**
   * A lease after loading. Concurrent callers for one digest share one load; a failed load rejects for all of them and is
   * forgotten, so a later call tries again.
   */
  async load(digest: Digest): Promise<AdapterResidence> {
    const resident = this.leaseResident(digest);
    if (resident !== null) return resident;
    this.#misses += 1;
    return this.#join(digest);
  }

  /**
   * Makes exactly these adapters stay in memory, as far as their share of the budget goes, in this order; those that are not there are loaded one
   * after the other. Resolves when that is done; `onFailure` hears of each load that failed. A later call takes over.
   */
  async pin(digests: readonly Digest[], onFailure: (digest: Digest, error: unknown) => void): Promise<void> {
    this.#wanted = digests;
    for (const entry of this.#held.values()) if (entry.pinned && !digests.includes(entry.digest)) this.#unpin(entry);
    for (const digest of digests) {
      if (this.#wanted !== digests) return;
      const present = this.#held.get(digest) ?? this.#idle.get(digest);
      if (present !== undefined) this.#tryPin(present);
      else if (this.#pinnedBytes < this.#pinnableBytes) await this.#loadPinned(digest, onFailure);
    }
  }

  /** Loads an adapter that requests may ask for soon, if there is room: nothing gives way to it. One after the other, in the order of the calls. */
  async prefetch(digest: Digest): Promise<void> {
    const done = this.#prefetched.then(async () => await this.#loadIfRoom(digest));
    this.#prefetched = done.catch(() => undefined);
    await done;
  }

  /** What is in memory now. */
  list(): readonly ResidentAdapter[] {
    return [...this.#held.values(), ...this.#idle.values()].map(({ adapter: _adapter, ...shown }) => shown);
  }

  get #pinnableBytes(): number {
    return this.#budgetBytes * PINNED_SHARE;
  }

  async #loadPinned(digest: Digest, onFailure: (digest: Digest, error: unknown) => void): Promise<void> {
    try {
      const residence = await this.#join(digest);
      const entry = this.#held.get(digest);
      if (entry !== undefined && this.#wanted.includes(digest)) this.#tryPin(entry);
      residence.release();
    } catch (error) {
      onFailure(digest, error);
    }
  }

  async #loadIfRoom(digest: Digest): Promise<void> {
    if (this.#isKnown(digest)) return;
    const adapter = await this.#source.load(digest);
    // A request may have asked for it in the meantime.
    if (this.#isKnown(digest) || this.bytes + this.#bytesOf(adapter) > this.#budgetBytes) return;
    const loading = this.#startLoad(digest, Promise.resolve(adapter));
    loading.callers += 1;
    this.#handle(await loading.done).release();
  }

  #isKnown(digest: Digest): boolean {
    return this.#held.has(digest) || this.#idle.has(digest) || this.#loading.has(digest);
  }

  #bytesOf(adapter: PackedAdapter): number {
    return adapter.bytes.byteLength + this.#companion.bytes(adapter);
  }

  #tryPin(entry: Entry): void {
    if (entry.pinned || this.#pinnedBytes + entry.bytes > this.#pinnableBytes) return;
    this.#keep(entry);
    entry.pinned = true;
    this.#pinnedBytes += entry.bytes;
  }

  #unpin(entry: Entry): void {
    entry.pinned = false;
    this.#pinnedBytes -= entry.bytes;
    if (entry.leases === 0) this.#setIdle(entry);
  }

  /** A lease on what is being loaded, or begins to be. */
  async #join(digest: Digest): Promise<AdapterResidence> {
    const loading = this.#loading.get(digest) ?? this.#startLoad(digest);
    loading.callers += 1;
    return this.#handle(await loading.done);
  }

  #startLoad(digest: Digest, adapter = this.#source.load(digest)): Loading {
    // Deleted by a continuation, never synchronously: a source that throws at once must not leave its entry behind.
    const done = this.#read(digest, adapter, () => loading.callers).finally(() => this.#loading.delete(digest));
    const loading: Loading = { done, callers: 0 };
    this.#loading.set(digest, loading);
    return loading;
  }

  async #read(digest: Digest, reading: Promise<PackedAdapter>, callers: () => number): Promise<Entry> {
    const startedMs = this.#clock.monotonic();
    const adapter = await reading;
    await this.#companion.prepare(adapter);
    const loadMs = this.#clock.monotonic() - startedMs;
    const entry: Entry = {
      digest,
      adapter,
      bytes: this.#bytesOf(adapter),
      loadMs,
      leases: 0,
      hits: 0,
      pinned: false,
    };
    this.#hold(entry, callers());
    return entry;
  }

  #hold(entry: Entry, count: number): void {
    this.#keep(entry);
    entry.leases += count;
  }

  #keep(entry: Entry): void {
    if (this.#held.has(entry.digest)) return;
    this.#idle.delete(entry.digest);
    this.#held.set(entry.digest, entry);
    this.#heldBytes += entry.bytes;
    this.#trim();
  }

  #handle(entry: Entry): AdapterResidence {
    let held = true;
    const release = (): void => {
      if (!held) return;
      held = false;
      this.#drop(entry);
    };
    return { digest: entry.digest, adapter: entry.adapter, release };
  }

  #drop(entry: Entry): void {
    entry.leases -= 1;
    if (entry.leases === 0 && !entry.pinned) this.#setIdle(entry);
  }

  #setIdle(entry: Entry): void {
    this.#held.delete(entry.digest);
    this.#heldBytes -= entry.bytes;
    this.#idle.set(entry.digest, entry);
    this.#trim();
  }

  #trim(): void {
    while (this.#idle.size > 0 && this.bytes > this.#budgetBytes) this.#idle.pop();
  }
}
