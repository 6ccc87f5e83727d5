// Everything one engine knows, as one record that joining, stepping and leaving work on. No behaviour of its own.
import { AppError, type Clock, type Logger, type RequestId } from '../core/index.ts';
import { KvLedger } from './kv-cache/ledger.ts';
import { PrefixCache } from './kv-cache/prefix-cache.ts';
import type { EngineEvent } from './messages.ts';
import type { EngineOptions } from './options.ts';
import { BLOCK_POSITIONS, type ConstraintSource, type ModelExecutor, type PackedAdapterSource, type RowId } from './ports.ts';
import { AdapterResidency } from './residency.ts';
import { Sampler } from './sampling/sampler.ts';
import type { Weigh } from './sampling/weigh.ts';
import { capacityBuckets } from './scheduler/capacity.ts';
import { MergeBook } from './merge-book.ts';
import { createCosts, type CallCosts } from './scheduler/costs.ts';
import { createDecodeCosts, type DecodeCosts } from './scheduler/decode-costs.ts';
import { afterDecode, type Interlude } from './scheduler/interlude.ts';
import type { LaneName } from './scheduler/plan.ts';
import type { Sequence } from './sequence.ts';

/** The part of the options that the scheduler obeys. */
export type EngineLimits = Pick<
  EngineOptions,
  | 'maxBatch'
  | 'maxContext'
  | 'maxWaiting'
  | 'prefillChunk'
  | 'maxStretch'
  | 'speculation'
  | 'kvCacheBytes'
  | 'prefixCacheBytes'
  | 'adapterHostBytes'
  | 'mergedMax'
> & {
  /** Positions of the smallest KV row. */
  readonly smallestCapacity?: number;
};

const DEFAULT_SMALLEST_CAPACITY = 512;

export interface EngineDependencies {
  readonly executor: ModelExecutor;
  readonly adapters: PackedAdapterSource;
  /** Absent: requests with a grammar are refused. */
  readonly constraints?: ConstraintSource;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Takes the events of one step, in order. */
  readonly emit: (events: readonly EngineEvent[]) => void;
}

export interface EngineCounters {
  decodeCalls: number;
  decodeRows: number;
  mergedCalls: number;
  mergedRows: number;
  prefillCalls: number;
  prefillTokens: number;
  generatedTokens: number;
  preemptions: number;
  prefixQueriedTokens: number;
  prefixHitTokens: number;
  draftTokens: number;
  acceptedDraftTokens: number;
}

export interface EngineState {
  readonly limits: EngineLimits;
  /** Positions of one request: the least of the setting, the model and the KV memory. */
  readonly maxContext: number;
  readonly buckets: readonly number[];
  readonly dependencies: EngineDependencies;
  readonly executor: ModelExecutor;
  readonly ledger: KvLedger;
  readonly prefixCache: PrefixCache;
  readonly residency: AdapterResidency;
  /** The executor's. */
  readonly weigh: Weigh;
  readonly sampler: Sampler;
  /** Every live request. */
  readonly sequences: Map<RequestId, Sequence>;
  /** Those without a row, in any order. */
  readonly waiting: Set<Sequence>;
  /** Those with a grammar. */
  readonly constrained: Set<Sequence>;
  /** Those with a row, by row. */
  readonly running: Map<RowId, Sequence>;
  readonly groupTurns: Map<string, number>;
  readonly laneTurns: Map<LaneName, number>;
  readonly costs: CallCosts;
  readonly decodeCosts: DecodeCosts;
  readonly merging: MergeBook;
  interlude: Interlude;
  readonly counters: EngineCounters;
  /** Events since the last flush. */
  outbox: EngineEvent[];
  nextArrival: number;
  nextRow: RowId;
  nextAdmission: number;
  step: number;
}

/** @throws AppError usage when the KV budget holds not even one position. */
export function createState(dependencies: EngineDependencies, limits: EngineLimits): EngineState {
  const { executor, adapters, clock } = dependencies;
  const kvPositions = Math.floor(limits.kvCacheBytes / executor.shape.kvBytesPerPosition);
  if (kvPositions < 1) {
    throw new AppError(
      'usage',
      `kvCacheBytes is ${limits.kvCacheBytes}, expected at least ${executor.shape.kvBytesPerPosition}, one position of this model`,
    );
  }
  const weigh: Weigh = (logits, largest, scale) => executor.weigh(logits, largest, scale);
  // A request alone must always fit, or it could wait for ever.
  const maxContext = Math.min(limits.maxContext, executor.shape.maxContext, kvPositions);
  return {
    limits,
    maxContext,
    buckets: capacityBuckets(limits.smallestCapacity ?? DEFAULT_SMALLEST_CAPACITY, maxContext),
    dependencies,
    executor,
    ledger: new KvLedger(kvPositions),
    prefixCache: new PrefixCache(Math.floor(limits.prefixCacheBytes / (executor.shape.kvBytesPerPosition * BLOCK_POSITIONS))),
    residency: new AdapterResidency(adapters, clock, limits.adapterHostBytes, {
      prepare: (adapter) => executor.prepareAdapter(adapter),
      bytes: (adapter) => executor.keptBytes(adapter),
    }),
    weigh,
    sampler: new Sampler(executor.shape.vocabularySize, weigh),
    sequences: new Map(),
    waiting: new Set(),
    constrained: new Set(),
    running: new Map(),
    groupTurns: new Map(),
    laneTurns: new Map(),
    costs: createCosts(),
    decodeCosts: createDecodeCosts(),
    merging: new MergeBook(limits.mergedMax),
    interlude: afterDecode(0),
    counters: {
      decodeCalls: 0,
      decodeRows: 0,
      mergedCalls: 0,
      mergedRows: 0,
      prefillCalls: 0,
      prefillTokens: 0,
      generatedTokens: 0,
      preemptions: 0,
      prefixQueriedTokens: 0,
      prefixHitTokens: 0,
      draftTokens: 0,
      acceptedDraftTokens: 0,
    },
    outbox: [],
    nextArrival: 0,
    nextRow: 0,
    nextAdmission: 1,
    step: 0,
  };
}
