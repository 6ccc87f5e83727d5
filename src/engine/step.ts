// One engine step: plan → reserve → run → commit around a single session call. Policies live in scheduler/, memory in kv-cache/.
import { describeError, type RequestId } from '../core/index.ts';
import { commitDecode, commitDrafts, commitPrefill } from './commit.ts';
import { type ChunkReservation, type DecodeReservation, type Member, memberOf, reserve, type Reservation } from './calls.ts';
import { awaitsMask } from './constraints.ts';
import { fail } from './leave.ts';
import type { RowId } from './ports.ts';
import { canRestore, restorePrefix } from './prefix.ts';
import { recordChunk, recordDecode, recordMixed } from './scheduler/costs.ts';
import { afterAction, afterDecode } from './scheduler/interlude.ts';
import { recordDecodeRows } from './scheduler/decode-costs.ts';
import { type CallPlan, type DecodePlan, isPrefilling, laneOf, planCall, type PrefillPlan, type RowView } from './scheduler/plan.ts';
import type { EngineState } from './state.ts';
import { runningRows } from './time-left.ts';

export type StepOutcome =
  /** No row has work: nothing is running. */
  | { readonly kind: 'idle' }
  /** Every row of the planned call moved to a larger capacity or gave up its row; they run in a later step. */
  | { readonly kind: 'deferred' }
  /** A row got this much of its prompt from the prefix cache instead of a call. */
  | { readonly kind: 'restored'; readonly tokenCount: number }
  | {
      readonly kind: 'ran';
      readonly call: 'prefill' | 'decode' | 'mixed' | 'drafts';
      readonly rowCount: number;
      readonly tokenCount: number;
    }
  /** The session call threw; its requests have failed, all others go on. */
  | { readonly kind: 'failed'; readonly requestIds: readonly RequestId[] };

/** Runs one step on the running batch; events go to the state's outbox. */
export function runStep(state: EngineState): StepOutcome {
  const plan = planNext(state);
  if (plan === null) return { kind: 'idle' };
  state.step += 1;
  const [prefill, decode] = partsOf(plan);
  const { clock } = state.dependencies;
  const startedMs = clock.monotonic();
  const restoredCount = prefill === null ? 0 : restore(state, prefill.row);
  if (restoredCount > 0) {
    state.interlude = afterAction(state.interlude, clock.monotonic() - startedMs);
    return { kind: 'restored', tokenCount: restoredCount };
  }
  if (decode !== null) state.laneTurns.set(laneOf(decode), state.step);
  const reservation = reserve(state, prefill, decode);
  if (reservation === null) return { kind: 'deferred' };
  const calledMs = clock.monotonic();
  const logits = run(state, reservation);
  if (logits === null) return { kind: 'failed', requestIds: reservation.members.map(({ sequence }) => sequence.id) };
  const outcome = commit(state, reservation, logits);
  recordCost(state, reservation, clock.monotonic() - calledMs);
  return outcome;
}

function partsOf(plan: CallPlan): readonly [PrefillPlan | null, DecodePlan | null] {
  switch (plan.kind) {
    case 'prefill':
      return [plan, null];
    case 'decode':
      return [null, plan];
    case 'mixed':
      return [plan.prefill, plan.decode];
  }
}

/** What a call cost, with the sampling and copying that it brought. */
function recordCost(state: EngineState, reservation: Reservation, ms: number): void {
  const { costs, interlude } = state;
  switch (reservation.kind) {
    case 'prefill': {
      const { tokenIds, startPosition } = reservation.call;
      recordChunk(costs.prefill, tokenIds.length, startPosition, ms);
      state.interlude = afterAction(interlude, ms);
      return;
    }
    case 'decode': {
      const lane = recordDecodeCost(state, reservation, ms);
      state.interlude = afterDecode(costs.decodeMs.get(lane) ?? ms, hasPassed(state) ? interlude : null);
      return;
    }
    case 'mixed': {
      const { decode, prefill } = reservation.call;
      const lane = laneOf({ capacity: decode.capacity, merged: null });
      recordMixed(costs, lane, prefill.tokenIds.length, prefill.startPosition, ms);
      state.interlude = afterDecode(costs.decodeMs.get(lane) ?? ms);
      return;
    }
    // Drafts are of a row that is alone: nobody's time is planned by them.
    case 'drafts':
  }
}

/** Answers the lane. */
function recordDecodeCost(state: EngineState, { call, members: callMembers }: DecodeReservation, ms: number): string {
  const merged = call.merged ?? null;
  const lane = laneOf({ capacity: call.capacity, merged });
  recordDecode(state.costs, lane, ms);
  const hasSidePaths = callMembers.some(({ sequence }) => sequence.request.adapterDigest !== null) && merged === null;
  recordDecodeRows(state.decodeCosts, hasSidePaths ? 'side' : 'plain', callMembers.length, ms);
  return lane;
}

/** Whether a prompt let the interlude pass in which nothing was done. */
function hasPassed(state: EngineState): boolean {
  return state.interlude.actionCount === 0 && runningRows(state).some(isPrefilling);
}

function restore(state: EngineState, rowId: RowId): number {
  const member = memberOf(state, rowId);
  return member === null ? 0 : restorePrefix(state, member.sequence, member.row);
}

function planNext(state: EngineState): CallPlan | null {
  const { costs, interlude, laneTurns, limits } = state;
  const rows = [...members(state)].map((member) => viewOf(state, member));
  return planCall(rows, laneTurns, { costs, interlude, maxStretch: limits.maxStretch });
}

function viewOf(state: EngineState, { sequence, row }: Member): RowView {
  const { id, capacity, merged, cachedPositions, prefillTarget, lastPrefillStep, prefix } = row;
  return {
    id,
    capacity,
    merged,
    cachedPositions,
    prefillTarget,
    lastPrefillStep,
    maxChunk: sequence.maxChunk(state.limits.prefillChunk),
    nextBlock: prefix?.nextKey ?? null,
    canShare: canRestore(sequence, row),
    canMix: merged === null && sequence.nextPromptLogprob === null && state.executor.canMix(sequence.residence?.adapter ?? null),
  };
}

/** Those that can be part of a call. */
function* members(state: EngineState): Iterable<Member> {
  for (const sequence of state.running.values()) {
    if (sequence.row !== null && !awaitsMask(sequence)) yield { sequence, row: sequence.row };
  }
}

/** Null when the call failed; its rows are then undefined, so their requests fail with it. */
function run(state: EngineState, { call, members: callMembers }: Reservation): Float32Array | null {
  try {
    return state.executor.run(call);
  } catch (error) {
    state.dependencies.logger.error({ call: call.kind, rows: callMembers.length, error: describeError(error) }, 'a session call failed');
    for (const { sequence } of callMembers) fail(state, sequence, 'generation_failed', 'the model failed while it computed this request');
    return null;
  }
}

function commit(state: EngineState, reservation: Reservation, logits: Float32Array): StepOutcome {
  switch (reservation.kind) {
    case 'decode':
      commitDecode(state, reservation.members, logits);
      break;
    case 'mixed': {
      const { decode, chunk } = reservation;
      const lines = decode.members.length * state.executor.shape.vocabularySize;
      commitDecode(state, decode.members, logits.subarray(0, lines));
      commitChunk(state, chunk, logits.subarray(lines));
      break;
    }
    default:
      commitChunk(state, reservation, logits);
  }
  return { kind: 'ran', call: reservation.kind, rowCount: reservation.members.length, tokenCount: tokenCountOf(reservation) };
}

function commitChunk(state: EngineState, { kind, call, members: [{ sequence, row }] }: ChunkReservation, logits: Float32Array): void {
  if (kind === 'prefill') commitPrefill(state, sequence, row, call, logits);
  else commitDrafts(state, sequence, row, call, logits);
}

function tokenCountOf(reservation: Reservation): number {
  switch (reservation.kind) {
    case 'decode':
      return reservation.members.length;
    case 'mixed':
      return tokenCountOf(reservation.decode) + tokenCountOf(reservation.chunk);
    default:
      return reservation.call.tokenIds.length;
  }
}
