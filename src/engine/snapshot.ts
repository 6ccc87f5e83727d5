// A read-only copy of the engine's bookkeeping, for invariant checks and tests.
import type { Digest, RequestId } from '../core/index.ts';
import type { RowId } from './ports.ts';
import type { Phase, Row } from './sequence.ts';
import type { EngineState } from './state.ts';

export interface SequenceSnapshot {
  readonly id: RequestId;
  readonly phase: Phase;
  readonly adapterDigest: Digest | null;
  /** Digest of the adapter that it holds in memory. */
  readonly heldDigest: Digest | null;
  readonly tokenCount: number;
  readonly promptLength: number;
  readonly maxNewTokens: number;
  /** It can be computed by its merged adapter alone. */
  readonly isMergedOnly: boolean;
  readonly row: Pick<Row, 'id' | 'capacity' | 'merged' | 'cachedPositions' | 'prefillTarget'> | null;
}

export interface EngineSnapshot {
  readonly maxBatch: number;
  readonly maxContext: number;
  readonly buckets: readonly number[];
  readonly kvTotal: number;
  readonly kvReserved: number;
  /** The ledger's own view: positions by row. */
  readonly kvByRow: ReadonlyMap<RowId, number>;
  /** The residency's own view: leases by digest. */
  readonly leasesByDigest: ReadonlyMap<Digest, number>;
  readonly adapterBytes: number;
  readonly adapterBudgetBytes: number;
  readonly mergedMax: number;
  /** Adapters with a merged session. */
  readonly mergedDigests: ReadonlySet<Digest>;
  readonly waiting: readonly SequenceSnapshot[];
  readonly running: readonly SequenceSnapshot[];
  readonly liveCount: number;
}

export function snapshotOf(state: EngineState): EngineSnapshot {
  const sequences = [...state.sequences.values()];
  const residents = state.residency.list();
  return {
    maxBatch: state.limits.maxBatch,
    maxContext: state.maxContext,
    buckets: state.buckets,
    kvTotal: state.ledger.total,
    kvReserved: state.ledger.reserved,
    kvByRow: state.ledger.snapshot(),
    leasesByDigest: new Map(residents.map(({ digest, leases }) => [digest, leases])),
    adapterBytes: state.residency.bytes,
    adapterBudgetBytes: state.limits.adapterHostBytes,
    mergedMax: state.limits.mergedMax,
    mergedDigests: new Set(
      state.merging.list().flatMap(({ digest, phase }) => (phase === 'merged' || phase === 'retiring' ? [digest] : [])),
    ),
    waiting: [...state.waiting].map(copySequence),
    running: [...state.running.values()].map(copySequence),
    liveCount: sequences.length,
  };

  function copySequence(sequence: (typeof sequences)[number]): SequenceSnapshot {
    const { id, phase, request, residence, tokens, promptLength, row } = sequence;
    return {
      id,
      phase,
      adapterDigest: request.adapterDigest,
      heldDigest: residence?.digest ?? null,
      tokenCount: tokens.length,
      promptLength,
      maxNewTokens: request.maxNewTokens,
      isMergedOnly: sequence.isMergedOnly,
      row:
        row === null
          ? null
          : {
              id: row.id,
              capacity: row.capacity,
              merged: row.merged,
              cachedPositions: row.cachedPositions,
              prefillTarget: row.prefillTarget,
            },
    };
  }
}
