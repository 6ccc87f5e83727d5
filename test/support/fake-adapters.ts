// Packed adapters made up from a number, and sources of them whose loads end when a test says so.
import { createHash } from 'node:crypto';
import { decodePacked, encodePacked, type PackedAdapter } from '../../src/adapters/packed.ts';
import { type Digest, parseDigest } from '../../src/core/index.ts';
import type { PackedAdapterSource } from '../../src/engine/index.ts';

export interface FakeAdapter {
  readonly digest: Digest;
  readonly adapter: PackedAdapter;
}

/** Different numbers give different content. Its two weights fit no real base. */
export function fakeAdapter(seed: number): FakeAdapter {
  const site = { site: 'layers.0.q', rank: 1, a: Float32Array.of(seed), b: Float32Array.of(seed + 1) };
  const bytes = encodePacked(sha256(new Uint8Array()), [site]);
  return { digest: sha256(bytes), adapter: decodePacked(bytes) };
}

/** One with a full weight, which only a merged model can hold. */
export function fakeMergedOnlyAdapter(seed: number): FakeAdapter {
  const bytes = encodePacked(sha256(new Uint8Array()), [], [{ tensor: 'model.norm.weight', values: Float32Array.of(seed) }]);
  return { digest: sha256(bytes), adapter: decodePacked(bytes) };
}

/** Loads on the next turn of the promise queue. */
export function adapterSource(adapters: readonly FakeAdapter[]): PackedAdapterSource {
  return {
    async load(digest) {
      const found = adapters.find((candidate) => candidate.digest === digest);
      if (found === undefined) throw new Error(`no adapter ${digest}`);
      return found.adapter;
    },
  };
}

/** A source whose loads stay open until `succeed` or `fail`. */
export class HeldAdapterSource implements PackedAdapterSource {
  readonly #adapters: Map<Digest, PackedAdapter>;
  readonly #open = new Map<Digest, OpenLoad>();
  loadCount = 0;

  constructor(adapters: readonly FakeAdapter[]) {
    this.#adapters = new Map(adapters.map(({ digest, adapter }) => [digest, adapter]));
  }

  add({ digest, adapter }: FakeAdapter): void {
    this.#adapters.set(digest, adapter);
  }

  load(digest: Digest): Promise<PackedAdapter> {
    this.loadCount += 1;
    return new Promise((resolve, reject) => {
      this.#open.set(digest, { resolve, reject });
    });
  }

  /** Digests whose loads are open. */
  get pending(): readonly Digest[] {
    return [...this.#open.keys()];
  }

  succeed(digest: Digest): void {
    const adapter = this.#adapters.get(digest);
    if (adapter === undefined) throw new Error(`no adapter ${digest}`);
    this.#take(digest).resolve(adapter);
  }

  fail(digest: Digest, error: Error): void {
    this.#take(digest).reject(error);
  }

  #take(digest: Digest): OpenLoad {
    const held = this.#open.get(digest);
    if (held === undefined) throw new Error(`no open load of ${digest}`);
    this.#open.delete(digest);
    return held;
  }
}

interface OpenLoad {
  readonly resolve: (adapter: PackedAdapter) => void;
  readonly reject: (error: Error) => void;
}

export function sha256(bytes: Uint8Array): Digest {
  const digest = parseDigest(createHash('sha256').update(bytes).digest('hex'));
  if (digest === undefined) throw new Error('sha256 gave no digest');
  return digest;
}
