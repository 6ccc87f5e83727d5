// The session call of a plan, with the rows that it is for: who of them has room, which tokens come next.
import { ensureRoom } from './reserve.ts';
import type { DecodeCall, MixedCall, PrefillCall } from './ports.ts';
import type { DecodePlan, PrefillPlan } from './scheduler/plan.ts';
import { draftTokens, mayDraft } from './scheduler/speculation.ts';
import type { Row, Sequence } from './sequence.ts';
import type { EngineState } from './state.ts';

/** A row of the running batch with the request in it. */
export interface Member {
  readonly sequence: Sequence;
  readonly row: Row;
}

/** Members are in the order of the call's rows. */
export interface ChunkReservation {
  readonly kind: 'prefill' | 'drafts';
  readonly call: PrefillCall;
  readonly members: readonly [Member];
}

export interface DecodeReservation {
  readonly kind: 'decode';
  readonly call: DecodeCall;
  readonly members: readonly Member[];
}

interface MixedReservation {
  readonly kind: 'mixed';
  readonly call: MixedCall;
  readonly members: readonly Member[];
  readonly decode: DecodeReservation;
  readonly chunk: ChunkReservation;
}

export type Reservation = ChunkReservation | DecodeReservation | MixedReservation;

/** Null: every row of the plan moved to a larger capacity or gave up its row. */
export function reserve(state: EngineState, prefill: PrefillPlan | null, decode: DecodePlan | null): Reservation | null {
  const rows = decode && reserveDecode(state, decode);
  // Looked at after the decoding rows, for whose room it may have given up its row.
  const chunk = prefill && reservePrefill(state, prefill);
  if (rows?.kind !== 'decode' || !chunk) return rows ?? chunk;
  const { call } = chunk;
  if (call.logits === 'all') throw new Error(`request ${chunk.members[0].sequence.id} wants logits that a mixed call does not give`);
  return {
    kind: 'mixed',
    call: { kind: 'mixed', decode: rows.call, prefill: { ...call, logits: call.logits } },
    members: [...rows.members, ...chunk.members],
    decode: rows,
    chunk,
  };
}

function reserveDecode(state: EngineState, plan: DecodePlan): DecodeReservation | ChunkReservation | null {
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

function reserveDrafts(member: Member, drafts: readonly number[]): ChunkReservation {
  const { sequence, row } = member;
  const tokenIds = [tokenAt(sequence, row.cachedPositions), ...drafts];
  const call: PrefillCall = { kind: 'prefill', row: row.id, tokenIds, startPosition: row.cachedPositions, logits: 'all' };
  return { kind: 'drafts', call, members: [member] };
}

/** A row has had room for its whole prefill since it joined. */
function reservePrefill(state: EngineState, plan: PrefillPlan): ChunkReservation | null {
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

export function memberOf(state: EngineState, rowId: number): Member | null {
  const sequence = state.running.get(rowId);
  return sequence === undefined || sequence.row === null ? null : { sequence, row: sequence.row };
}
