// How the operator wants which packed adapters to be applied. Tells one listener whenever that has changed.
import type { Digest } from '../core/index.ts';
import type { AdapterStore, AdapterVersionRow } from '../storage/index.ts';

export type PlacedDigest = readonly [digest: Digest, mode: 'side' | 'merged'];

export class PlacementBoard {
  private readonly store: AdapterStore;
  private readonly isServable: (row: AdapterVersionRow) => boolean;
  private readonly onChange: (placements: readonly PlacedDigest[]) => void;
  private shown = '';

  /** @param isServable - whether the engine could hold this version. */
  constructor(
    store: AdapterStore,
    isServable: (row: AdapterVersionRow) => boolean,
    onChange: (placements: readonly PlacedDigest[]) => void,
  ) {
    this.store = store;
    this.isServable = isServable;
    this.onChange = onChange;
  }

  /** To be called after every change of a pointer or a mode; asks for placed rows only, which are few. */
  refresh(): void {
    const modes = new Map<Digest, 'side' | 'merged'>();
    for (const { row, mode } of this.store.placedVersions()) {
      // Two names may share content; merged is the stronger wish.
      if (this.isServable(row) && modes.get(row.packedDigest) !== 'merged') modes.set(row.packedDigest, mode);
    }
    const placements = [...modes];
    const text = placements.join();
    if (text === this.shown) return;
    this.shown = text;
    this.onChange(placements);
  }
}
