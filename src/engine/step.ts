// One engine step: plan → reserve → run → commit around a single session call. Policies live in scheduler/, memory in kv-cache/.
import { describeError, type RequestId } from '../core/index.ts';
import { commitDecode, commitPrefill } from './commit.ts';
import { fail } from './leave.ts';
import type { PrefillCall, SessionCall } from './ports.ts';
import { ensureRoom } from './reserve.ts';
import { type CallPlan, laneOf, planCall, type RowView } from './scheduler/plan.ts';
import type { Row, Sequence } from './sequence.ts';
import type { EngineState } from './state.ts';

export type StepOutcome =
  /** No row has work: nothing is running. */
  | { readonly kind: 'idle' }
  /** Every row of the planned call moved to a larger capacity or gave up its row; they run in a later step. */
  | { readonly kind: 'deferred' }
  | { readonly kind: 'ran'; readonly call: 'prefill' | 'decode'; readonly rowCount: number; readonly tokenCount: number }
  /** The session call threw; its requests have failed, all others go on. */
  | { readonly kind: 'failed'; readonly requestIds: readonly RequestId[] };

/** A row of the running batch with the request in it. */
interface Member {
  readonly sequence: Sequence;
  readonly row: Row;
}

interface Reservation {
  readonly call: SessionCall;
  /** In the order of the call's rows. */
  readonly members: readonly Member[];
}

/** Runs one step on the running batch; events go to the state's outbox. */
export function runStep(state: EngineState): StepOutcome {
  const plan = planNext(state);
  if (plan === null) return { kind: 'idle' };
  state.step += 1;
  state.laneTurns.set(laneOf(plan), state.step);
  const reservation = reserve(state, plan);
  if (reservation === null) return { kind: 'deferred' };
  const logits = run(state, reservation);
  if (logits === null) return { kind: 'failed', requestIds: reservation.members.map(({ sequence }) => sequence.id) };
  return commit(state, reservation, logits);
}

function planNext(state: EngineState): CallPlan | null {
  return planCall(
    [...members(state)].map((member) => viewOf(state, member)),
    state.laneTurns,
  );
}

function viewOf(state: EngineState, { sequence, row }: Member): RowView {
  return { ...row, maxChunk: sequence.maxChunk(state.limits.prefillChunk) };
}

function* members(state: EngineState): Iterable<Member> {
  for (const sequence of state.running.values()) {
    if (sequence.row !== null) yield { sequence, row: sequence.row };
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
  if (staying.length === 0) return null;
  const rows = staying.map(({ sequence, row }) => ({
    row: row.id,
    tokenId: tokenAt(sequence, row.cachedPositions),
    position: row.cachedPositions,
  }));
  return { call: { kind: 'decode', capacity: plan.capacity, rows }, members: staying };
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
  return { call, members: [member] };
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

function commit(state: EngineState, { call, members: callMembers }: Reservation, logits: Float32Array): StepOutcome {
  const [first] = callMembers;
  if (call.kind === 'prefill' && first !== undefined) {
    commitPrefill(state, first.sequence, first.row, call, logits);
    return { kind: 'ran', call: 'prefill', rowCount: 1, tokenCount: call.tokenIds.length };
  }
  commitDecode(state, callMembers, logits);
  return { kind: 'ran', call: 'decode', rowCount: callMembers.length, tokenCount: callMembers.length };
}
