// Merges adapters and takes them back, as the policy of `scheduler/` says: one at a time is prepared and loaded while everything else goes
// on, and rows change sides between decode calls, few at a time.
import { describeError, type Digest, isAppError } from '../core/index.ts';
import { fail } from './leave.ts';
import type { MergeEntry, MergeMoment } from './merge-book.ts';
import { recordMove } from './scheduler/costs.ts';
import { afterAction, allows } from './scheduler/interlude.ts';
import { type MergeStep, nextMergeStep } from './scheduler/merge-policy.ts';
import type { Row, Sequence } from './sequence.ts';
import type { EngineState } from './state.ts';
import { timeLeftMs } from './time-left.ts';

/** A failed merge is not tried again for so long; requests without another way fail with its reason. */
const RETRY_MS = 30_000;

const MERGES_NONE =
  'the adapter replaces whole tensors of the base, which only a merged model can hold, and this server merges none (mergedMax is 0)';

/** To be called before each step. `settled` is called when work that went on elsewhere has ended. */
export function stepMerging(state: EngineState, settled: () => void): void {
  const { merging } = state;
  const moment = momentOf(state);
  merging.account(moment);
  for (const sequence of state.waiting) if (sequence.isMergedOnly) failUnmergeable(state, sequence);
  const next = (): MergeStep | null => nextMergeStep(merging.views(moment), merging.mergedMax);
  dropRetired(state);
  for (let step = next(); step !== null; step = next()) {
    take(state, step, settled);
    dropRetired(state);
  }
  moveRows(state);
}

function momentOf({ dependencies, decodeCosts, running, sequences, waiting }: EngineState): MergeMoment {
  const demand = new Map<Digest, number>();
  for (const { request } of sequences.values())
    if (request.adapterDigest !== null) demand.set(request.adapterDigest, (demand.get(request.adapterDigest) ?? 0) + 1);
  const rows = [...running.values()].flatMap(({ request, row }) =>
    row === null ? [] : [{ capacity: row.capacity, adapterDigest: request.adapterDigest, merged: row.merged }],
  );
  return { nowMs: dependencies.clock.monotonic(), costs: decodeCosts, rows, waiting, demand };
}

function failUnmergeable(state: EngineState, sequence: Sequence): void {
  const { adapterDigest } = sequence.request;
  const failure = adapterDigest === null ? null : state.merging.failureOf(adapterDigest);
  if (state.merging.mergedMax === 0) fail(state, sequence, 'unsupported_adapter', MERGES_NONE);
  else if (failure !== null) fail(state, sequence, 'generation_failed', failure);
}

function take(state: EngineState, { kind, digest }: MergeStep, settled: () => void): void {
  const { executor, merging } = state;
  const entry = merging.entry(digest);
  switch (kind) {
    case 'prepare':
      entry.phase = 'preparing';
      follow(state, entry, executor.prepareMerged(digest), () => (entry.phase = 'prepared'), settled);
      return;
    case 'load':
      entry.phase = 'loading';
      follow(state, entry, executor.loadMerged(digest), (bytes) => settleLoad(state, entry, bytes), settled);
      return;
    case 'forget':
      entry.phase = 'side';
      executor.dropMerged(digest);
      return;
    case 'retire':
      entry.phase = 'retiring';
      entry.serves = false;
  }
}

function follow<Result>(
  state: EngineState,
  entry: MergeEntry,
  work: Promise<Result>,
  done: (result: Result) => void,
  settled: () => void,
): void {
  void work.then(done, (error: unknown) => recordFailure(state, entry, error)).then(settled);
}

function recordFailure({ dependencies: { clock, logger }, merging }: EngineState, entry: MergeEntry, error: unknown): void {
  logger.error({ digest: entry.digest, error: describeError(error) }, 'merging an adapter failed');
  const reason = isAppError(error) ? error.message : 'its merged weights could not be made or loaded';
  entry.phase = 'failed';
  entry.failure = { message: `the adapter could not be merged: ${reason}`, untilMs: clock.monotonic() + RETRY_MS };
  merging.failures += 1;
}

function settleLoad({ dependencies: { clock, logger }, merging }: EngineState, entry: MergeEntry, bytes: number): void {
  entry.phase = 'merged';
  entry.bytes = bytes;
  entry.serves = true;
  entry.lastUsedMs = clock.monotonic();
  merging.promotions += 1;
  logger.info({ digest: entry.digest, bytes }, 'an adapter is merged');
}

/** Those that compute no row any more. */
function dropRetired({ dependencies, executor, merging, running }: EngineState): void {
  for (const entry of merging.entries) {
    if (entry.phase !== 'retiring' || [...running.values()].some(({ row }) => row?.merged === entry.digest)) continue;
    entry.phase = 'side';
    entry.bytes = 0;
    merging.demotions += 1;
    executor.dropMerged(entry.digest);
    dependencies.logger.info({ digest: entry.digest }, 'an adapter is not merged any more');
  }
}

/** Rows whose way has changed move, as many as fit between two decode calls; at least one does. */
function moveRows(state: EngineState): void {
  for (const sequence of state.running.values()) {
    const { row } = sequence;
    const way = state.merging.wayOf(sequence);
    if (row === null || row.merged === way) continue;
    if (!allows(state.interlude, timeLeftMs(state), state.costs.moveMs)) return;
    moveRow(state, sequence, row, way);
  }
}

function moveRow(state: EngineState, sequence: Sequence, row: Row, way: Digest | null): void {
  const { clock, logger } = state.dependencies;
  const startedMs = clock.monotonic();
  try {
    state.executor.moveRow(row.id, sequence.residence?.adapter ?? null, way, row.cachedPositions);
    row.merged = way;
  } catch (error) {
    logger.error({ requestId: sequence.id, error: describeError(error) }, 'moving a row failed');
    fail(state, sequence, 'generation_failed', 'the request could not be moved to or from a merged adapter');
  }
  const ms = clock.monotonic() - startedMs;
  recordMove(state.costs, ms);
  state.interlude = afterAction(state.interlude, ms);
}
