// Packed adapters in host memory, by digest. Leased entries stay; idle ones sit in a bytes-bounded LRU.
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
}

interface Entry {
  readonly digest: Digest;
  readonly adapter: PackedAdapter;
  readonly bytes: number;
  readonly loadMs: number;
  leases: number;
}

interface Loading {
  readonly done: Promise<Entry>;
  /** Callers that will take a lease the moment it is done: the entry must not pass through the LRU before that. */
  callers: number;
}

/** Total bytes stay within the budget unless leases alone exceed it; then nothing idle is kept. */
export class AdapterResidency {
  readonly #source: PackedAdapterSource;
  readonly #clock: Clock;
  readonly #budgetBytes: number;
  readonly #leased = new Map<Digest, Entry>();
  readonly #loading = new Map<Digest, Loading>();
  readonly #idle: LRUCache<Digest, Entry>;
  #leasedBytes = 0;
  #hits = 0;
  #misses = 0;

  constructor(source: PackedAdapterSource, clock: Clock, budgetBytes: number) {
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
    return this.#leasedBytes + this.#idle.calculatedSize;
  }

  /** A lease on an adapter that is in memory, else null. */
  leaseResident(digest: Digest): AdapterResidence | null {
    const entry = this.#leased.get(digest) ?? this.#idle.get(digest);
    if (entry === undefined) return null;
    this.#hits += 1;
    return this.#lease(entry, 1);
  }

  /**
   * A lease after loading. Concurrent callers for one digest share one load; a failed load rejects for all of them and is
   * forgotten, so a later call tries again.
   */
  async load(digest: Digest): Promise<AdapterResidence> {
    const resident = this.leaseResident(digest);
    if (resident !== null) return resident;
    this.#misses += 1;
    const loading = this.#loading.get(digest) ?? this.#startLoad(digest);
    loading.callers += 1;
    return this.#handle(await loading.done);
  }

  /** What is in memory now. */
  list(): readonly ResidentAdapter[] {
    return [...this.#leased.values(), ...this.#idle.values()].map(({ digest, bytes, leases, loadMs }) => ({
      digest,
      bytes,
      leases,
      loadMs,
    }));
  }

  #startLoad(digest: Digest): Loading {
    // Deleted by a continuation, never synchronously: a source that throws at once must not leave its entry behind.
    const done = this.#read(digest, () => loading.callers).finally(() => this.#loading.delete(digest));
    const loading: Loading = { done, callers: 0 };
    this.#loading.set(digest, loading);
    return loading;
  }

  async #read(digest: Digest, callers: () => number): Promise<Entry> {
    const startedMs = this.#clock.monotonic();
    const adapter = await this.#source.load(digest);
    const loadMs = this.#clock.monotonic() - startedMs;
    const entry: Entry = { digest, adapter, bytes: adapter.bytes.byteLength, loadMs, leases: 0 };
    this.#hold(entry, callers());
    return entry;
  }

  #lease(entry: Entry, count: number): AdapterResidence {
    this.#hold(entry, count);
    return this.#handle(entry);
  }

  #hold(entry: Entry, count: number): void {
    if (entry.leases === 0) {
      this.#idle.delete(entry.digest);
      this.#leased.set(entry.digest, entry);
      this.#leasedBytes += entry.bytes;
      this.#trim();
    }
    entry.leases += count;
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
    if (entry.leases > 0) return;
    this.#leased.delete(entry.digest);
    this.#leasedBytes -= entry.bytes;
    this.#idle.set(entry.digest, entry);
    this.#trim();
  }

  #trim(): void {
    while (this.#idle.size > 0 && this.bytes > this.#budgetBytes) this.#idle.pop();
  }
}
