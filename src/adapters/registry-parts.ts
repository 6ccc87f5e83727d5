// What the adapter registry is made of: storage, base, limits, and whom it tells. Chosen by the composition root.
import type { Clock, Digest, Logger } from '../core/index.ts';
import type { BaseModelDescription, BaseWeights } from '../models/index.ts';
import type { Storage } from '../storage/index.ts';
import type { MixComputer } from './combining/compute-mix.ts';
import type { PlacedDigest } from './placement-board.ts';

export interface AdapterRegistryParts {
  readonly storage: Storage;
  /** The loaded base; adapters are validated against it and bound to it. */
  readonly base: BaseModelDescription;
  /** Its original weights, read only for DoRA. */
  readonly weights: BaseWeights;
  /** Largest rank of a site (setting adapterMaxRank). */
  readonly maxRank: number;
  /** Bytes that one uploaded file may have; 1 GiB when absent. */
  readonly maxFileBytes?: number;
  /** The engine can serve merged models; otherwise an adapter with full weights is refused when a request names it. */
  readonly servesMerged?: boolean;
  /** Folder whose adapters may be loaded by path; absent or null: none. */
  readonly importFolder?: string | null;
  /** Called with the packed digests that have a mode other than `auto`, at opening and whenever that changes. */
  readonly onPlacements?: (placements: readonly PlacedDigest[]) => void;
  /** Called with the packed digests that must stay in memory, at opening and whenever they change. */
  readonly onPins?: (digests: readonly Digest[]) => void;
  /** Called with the packed digest of a version that has become, or was made again, the active one or the canary of its name. */
  readonly onActivated?: (digest: Digest) => void;
  /** Bytes of mixes that are kept on the disk for requests to come; 1 GiB when absent. */
  readonly mixCacheBytes?: number;
  /** Where mixes are computed; in the calling thread when absent. */
  readonly computeMix?: MixComputer;
  readonly clock?: Clock;
  readonly logger?: Logger;
}
