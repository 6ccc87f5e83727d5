// Which packed adapters must stay in memory: those of pinned names. Tells one listener whenever that has changed.
import type { Digest } from '../core/index.ts';
import type { AdapterStore, AdapterVersionRow } from '../storage/index.ts';

export class PinBoard {
  private readonly store: AdapterStore;
  private readonly isServable: (row: AdapterVersionRow) => boolean;
  private readonly onChange: (digests: readonly Digest[]) => void;
  private shown = '';

  /** @param isServable - whether the engine could hold this version. */
  constructor(store: AdapterStore, isServable: (row: AdapterVersionRow) => boolean, onChange: (digests: readonly Digest[]) => void) {
    this.store = store;
    this.isServable = isServable;
    this.onChange = onChange;
  }

  /** To be called after every change of a pointer or a pin; asks for pinned rows only, which are few. */
  refresh(): void {
    const rows = this.store.pinnedVersions().filter((row) => this.isServable(row));
    const digests = [...new Set(rows.map((row) => row.packedDigest))];
    const text = digests.join();
    if (text === this.shown) return;
    this.shown = text;
    this.onChange(digests);
  }
}
