// How requests join the running batch: their adapter is loaded, then a row with KV positions is reserved.
import { describeError, isAppError } from '../core/index.ts';
import { awaitsMask } from './constraints.ts';
import { fail } from './leave.ts';
import { firstPlace } from './prefix.ts';
import type { AdapterResidence } from './residency.ts';
import { nextToAdmit, recordTurn } from './scheduler/admission.ts';
import { initialCapacity } from './scheduler/capacity.ts';
import { recordJoin } from './scheduler/costs.ts';
import { afterAction, allows } from './scheduler/interlude.ts';
import { decodingCount } from './scheduler/plan.ts';
import { nextToLoad, type PrefetchView } from './scheduler/prefetch.ts';
import type { Row, Sequence } from './sequence.ts';
import type { EngineState } from './state.ts';
import { runningRows, timeLeftMs } from './time-left.ts';

/** Starts loads and fills free rows. `loaded` is called when a load that was waited for has ended, well or not. */
export function joinWaiting(state: EngineState, loaded: () => void): void {
  startLoads(state, loaded);
  while (state.running.size < state.limits.maxBatch) {
    const ready = [...state.waiting].filter(
      (sequence) => sequence.phase === 'ready' && !awaitsMask(sequence) && !state.merging.awaitsMerge(sequence),
    );
    const next = nextToAdmit(ready, state.groupTurns);
    if (next === null || isBehindUnread(state) || !hasTimeFor(state, next) || !admit(state, next)) return;
  }
}

/**
 * While rows decode, one joins when the one before has begun to be read: until then it would be computed in every decode call, for nothing. A burst waits outside
 * of the batch, as long as it would inside.
 */
function isBehindUnread(state: EngineState): boolean {
  const rows = runningRows(state);
  return decodingCount(rows) > 0 && rows.some(({ cachedPositions }) => cachedPositions === 0);
}

/** Copying an adapter into a row takes as long as a call, so a burst of arrivals joins over several interludes. */
function hasTimeFor(state: EngineState, sequence: Sequence): boolean {
  if (sequence.residence === null || state.merging.wayOf(sequence) !== null) return true;
  return allows(state.interlude, timeLeftMs(state), state.costs.joinMs);
}

function startLoads(state: EngineState, loaded: () => void): void {
  // Those that wait for a merge hold one adapter together, and must not keep others from loading theirs.
  const views = [...state.waiting].filter((sequence) => needsAdapter(sequence)).filter((sequence) => !state.merging.awaitsMerge(sequence));
  for (const sequence of nextToLoad(views, state.groupTurns, state.limits.maxBatch)) {
    const digest = sequence.request.adapterDigest;
    if (digest === null) continue;
    sequence.residence = state.residency.leaseResident(digest);
    sequence.phase = sequence.residence === null ? 'loading' : 'ready';
    if (sequence.residence !== null) continue;
    state.residency.load(digest).then(
      (residence) => {
        settleLoad(state, sequence, residence);
        loaded();
      },
      (error: unknown) => {
        failLoad(state, sequence, error);
        loaded();
      },
    );
  }
}

function needsAdapter(sequence: Sequence): sequence is Sequence & PrefetchView {
  return sequence.request.adapterDigest !== null && sequence.phase !== 'running';
}

function settleLoad(state: EngineState, sequence: Sequence, residence: AdapterResidence): void {
  // It may have been cancelled meanwhile.
  if (!state.waiting.has(sequence)) {
    residence.release();
    return;
  }
  sequence.residence = residence;
  sequence.phase = 'ready';
}

function failLoad(state: EngineState, sequence: Sequence, error: unknown): void {
  if (!state.waiting.has(sequence)) return;
  const { logger } = state.dependencies;
  logger.error({ digest: sequence.request.adapterDigest, error: describeError(error) }, 'loading an adapter failed');
  if (isAppError(error)) fail(state, sequence, error.code, error.message);
  else fail(state, sequence, 'generation_failed', 'the adapter could not be loaded: its packed file is missing or damaged');
}

/** False when its KV positions are not free; admission then stops, so that smaller requests cannot overtake it for ever. */
function admit(state: EngineState, sequence: Sequence): boolean {
  const id = state.nextRow;
  const merged = state.merging.wayOf(sequence);
  const capacity = initialCapacity(state.buckets, sequence.tokens.length, sequence.remainingNewTokens);
  if (!state.ledger.tryReserve(id, capacity)) return false;
  state.nextRow += 1;
  try {
    addRow(state, sequence, { id, capacity, merged });
  } catch (error) {
    state.ledger.release(id);
    state.dependencies.logger.error({ requestId: sequence.id, error: describeError(error) }, 'adding a row failed');
    fail(state, sequence, 'generation_failed', 'the request could not be given a row of the batch');
    return true;
  }
  state.waiting.delete(sequence);
  sequence.phase = 'running';
  sequence.row = {
    id,
    capacity,
    merged,
    cachedPositions: 0,
    prefillTarget: sequence.tokens.length,
    lastPrefillStep: state.step,
    prefix: firstPlace(state, sequence),
  };
  state.running.set(id, sequence);
  recordTurn(state.groupTurns, sequence.group, state.nextAdmission);
  state.nextAdmission += 1;
  return true;
}

function addRow(state: EngineState, { residence }: Sequence, { id, capacity, merged }: Pick<Row, 'id' | 'capacity' | 'merged'>): void {
  const { clock } = state.dependencies;
  const startedMs = clock.monotonic();
  state.executor.addRow(id, capacity, residence?.adapter ?? null, merged);
  if (residence === null || merged !== null) return;
  const ms = clock.monotonic() - startedMs;
  recordJoin(state.costs, ms);
  state.interlude = afterAction(state.interlude, ms);
}
