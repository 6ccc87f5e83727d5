// One engine step: plan → reserve → run → commit around a single session call. Policies live in scheduler/, memory in kv-cache/.
import { describeError, type RequestId } from '../core/index.ts';
import { commitDecode, commitDrafts, commitPrefill } from './commit.ts';
import { awaitsMask } from './constraints.ts';
import { fail } from './leave.ts';
import type { DecodeCall, PrefillCall, RowId } from './ports.ts';
import { canRestore, restorePrefix } from './prefix.ts';
import { ensureRoom } from './reserve.ts';
import { recordDecode, recordPrefill } from './scheduler/costs.ts';
import { afterAction, afterDecode } from './scheduler/interlude.ts';
import { recordDecodeRows } from './scheduler/decode-costs.ts';
import { type CallPlan, isPrefilling, laneOf, planCall, type RowView } from './scheduler/plan.ts';
import { draftTokens, mayDraft } from './scheduler/speculation.ts';
import type { Row, Sequence } from './sequence.ts';
import type { EngineState } from './state.ts';
import { runningRows } from './time-left.ts';

export type StepOutcome =
  /** No row has work: nothing is running. */
  | { readonly kind: 'idle' }
  /** Every row of the planned call moved to a larger capacity or gave up its row; they run in a later step. */
  | { readonly kind: 'deferred' }
  /** A row got this much of its prompt from the prefix cache instead of a call. */
  | { readonly kind: 'restored'; readonly tokenCount: number }
  | { readonly kind: 'ran'; readonly call: 'prefill' | 'decode' | 'drafts'; readonly rowCount: number; readonly tokenCount: number }
  /** The session call threw; its requests have failed, all others go on. */
  | { readonly kind: 'failed'; readonly requestIds: readonly RequestId[] };

/** A row of the running batch with the request in it. */
interface Member {
  readonly sequence: Sequence;
  readonly row: Row;
}

/** Members are in the order of the call's rows. */
type Reservation =
  | { readonly kind: 'prefill' | 'drafts'; readonly call: PrefillCall; readonly members: readonly [Member] }
  | { readonly kind: 'decode'; readonly call: DecodeCall; readonly members: readonly Member[] };

/** Runs one step on the running batch; events go to the state's outbox. */
export function runStep(state: EngineState): StepOutcome {
  const plan = planNext(state);
  if (plan === null) return { kind: 'idle' };
  state.step += 1;
  if (plan.kind === 'decode') state.laneTurns.set(laneOf(plan), state.step);
  const { clock } = state.dependencies;
  const startedMs = clock.monotonic();
  const restoredCount = plan.kind === 'prefill' ? restore(state, plan.row) : 0;
  if (restoredCount > 0) {
    state.interlude = afterAction(state.interlude, clock.monotonic() - startedMs);
    return { kind: 'restored', tokenCount: restoredCount };
  }
  const reservation = reserve(state, plan);
  if (reservation === null) return { kind: 'deferred' };
  const calledMs = clock.monotonic();
  const logits = run(state, reservation);
  if (logits === null) return { kind: 'failed', requestIds: reservation.members.map(({ sequence }) => sequence.id) };
  const outcome = commit(state, reservation, logits);
  recordCost(state, reservation, clock.monotonic() - calledMs);
  return outcome;
}

/** What a call cost, with the sampling and copying that it brought. */
function recordCost(state: EngineState, { kind, call, members: callMembers }: Reservation, ms: number): void {
  if (kind === 'decode') {
    const lane = laneOf({ capacity: call.capacity, merged: call.merged ?? null });
    recordDecode(state.costs, lane, ms);
    const hasSidePaths = callMembers.some(({ sequence }) => sequence.request.adapterDigest !== null) && (call.merged ?? null) === null;
    recordDecodeRows(state.decodeCosts, hasSidePaths ? 'side' : 'plain', callMembers.length, ms);
    state.interlude = afterDecode(state.costs.decodeMs.get(lane) ?? ms, hasPassed(state) ? state.interlude : null);
  } else if (kind === 'prefill') {
    recordPrefill(state.costs, call.tokenIds.length, call.startPosition, ms);
    state.interlude = afterAction(state.interlude, ms);
  }
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
  };
}

/** Those that can be part of a call. */
function* members(state: EngineState): Iterable<Member> {
  for (const sequence of state.running.values()) {
    if (sequence.row !== null && !awaitsMask(sequence)) yield { sequence, row: sequence.row };
  }
}

function memberOf(state: EngineState, rowId: number): Member | null {
  const sequence = state.running.get(rowId);
  return sequence === undefined || sequence.row === null ? null : { sequence, row: sequence.row };
}

function reserve(state: EngineState, plan: CallPlan): Reservation | null {
  if (plan.kind === 'prefill') return reservePrefill(state, plan);
  for (const rowId of plan.rows) {
    const member = memberOf(state, rowId);
    if (member !== null) ensureRoom(state, member.sequence, member.row);
  }
  const staying = plan.rows.flatMap((rowId) => memberOf(state, rowId) ?? []).filter(({ row }) => row.capacity === plan.capacity);
  const [first, ...others] = staying;
  if (first === undefined) return null;
  const drafts = others.length === 0 && state.running.size === 1 ? draftsFor(state, first) : [];
  if (drafts.length > 0) return reserveDrafts(first, drafts);
  const rows = staying.map(({ sequence, row }) => ({
    row: row.id,
    tokenId: tokenAt(sequence, row.cachedPositions),
    position: row.cachedPositions,
  }));
  return { kind: 'decode', call: { kind: 'decode', capacity: plan.capacity, merged: plan.merged, rows }, members: staying };
}

/** Only for a row that is alone: with more rows a call's time grows with its tokens, and drafts save none. */
function draftsFor({ limits }: EngineState, { sequence, row }: Member): readonly number[] {
  // After each token a constrained row needs a mask that is not made yet.
  if (limits.speculation === 'off' || sequence.constraint !== null || !mayDraft(sequence.drafts, sequence.producedCount)) return [];
  const room = row.capacity - row.cachedPositions - 1;
  return draftTokens(sequence.tokens, Math.min(room, sequence.remainingNewTokens - 1));
}

function reserveDrafts(member: Member, drafts: readonly number[]): Reservation {
  const { sequence, row } = member;
  const tokenIds = [tokenAt(sequence, row.cachedPositions), ...drafts];
  const call: PrefillCall = { kind: 'prefill', row: row.id, tokenIds, startPosition: row.cachedPositions, logits: 'all' };
  return { kind: 'drafts', call, members: [member] };
}

/** A row has had room for its whole prefill since it joined. */
function reservePrefill(state: EngineState, plan: CallPlan & { readonly kind: 'prefill' }): Reservation | null {
  const member = memberOf(state, plan.row);
  if (member === null) return null;
  const { sequence, row } = member;
  const end = row.cachedPositions + plan.tokenCount;
  const call: PrefillCall = {
    kind: 'prefill',
    row: row.id,
    tokenIds: sequence.tokens.slice(row.cachedPositions, end),
    startPosition: row.cachedPositions,
    logits: wantedLogits(sequence, row, end),
  };
  return { kind: 'prefill', call, members: [member] };
}

function wantedLogits(sequence: Sequence, row: Row, end: number): PrefillCall['logits'] {
  const missing = sequence.nextPromptLogprob;
  if (missing !== null && missing <= end) return 'all';
  return end === row.prefillTarget && sequence.remainingNewTokens > 0 ? 'last' : 'none';
}

function tokenAt(sequence: Sequence, position: number): number {
  const token = sequence.tokens[position];
  if (token === undefined) throw new Error(`request ${sequence.id} has no token at position ${position}`);
  return token;
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
  const { kind, members: callMembers } = reservation;
  if (kind === 'decode') {
    commitDecode(state, callMembers, logits);
    return { kind: 'ran', call: kind, rowCount: callMembers.length, tokenCount: callMembers.length };
  }
  const { call } = reservation;
  const [{ sequence, row }] = reservation.members;
  if (kind === 'prefill') commitPrefill(state, sequence, row, call, logits);
  else commitDrafts(state, sequence, row, call, logits);
  return { kind: 'ran', call: kind, rowCount: 1, tokenCount: call.tokenIds.length };
}
