// How requests leave: finished, failed or preempted. The one place that gives rows, KV positions and adapters back.
import { describeError, type ErrorCode } from '../core/index.ts';
import type { FinishReason } from './messages.ts';
import { keepPrefix } from './prefix.ts';
import type { Sequence } from './sequence.ts';
import type { EngineState } from './state.ts';

/** Ends a request with its last event. */
export function finish(state: EngineState, sequence: Sequence, reason: FinishReason): void {
  // The next message of a conversation begins with what this one produced.
  if (sequence.row !== null && reason !== 'cancelled') keepPrefix(state, sequence, sequence.row);
  remove(state, sequence);
  state.outbox.push({ kind: 'finished', id: sequence.id, reason });
}

/** Ends a request with an error. `message` must be safe to show. */
export function fail(state: EngineState, sequence: Sequence, code: ErrorCode, message: string): void {
  remove(state, sequence);
  state.outbox.push({ kind: 'failed', id: sequence.id, code, message });
}

/** Takes the row away; the request waits for another and computes its cache again. It loses and repeats no token. */
export function preempt(state: EngineState, sequence: Sequence): void {
  releaseRow(state, sequence);
  sequence.phase = 'ready';
  sequence.preempted = true;
  state.waiting.add(sequence);
  state.counters.preemptions += 1;
}

function remove(state: EngineState, sequence: Sequence): void {
  releaseRow(state, sequence);
  state.waiting.delete(sequence);
  state.sequences.delete(sequence.id);
  state.constrained.delete(sequence);
  sequence.constraint?.close();
  sequence.residence?.release();
  sequence.residence = null;
}

function releaseRow(state: EngineState, sequence: Sequence): void {
  const row = sequence.row;
  if (row === null) return;
  sequence.row = null;
  state.running.delete(row.id);
  state.ledger.release(row.id);
  try {
    state.executor.removeRow(row.id);
  } catch (error) {
    state.dependencies.logger.error({ row: row.id, error: describeError(error) }, 'removing a row failed');
  }
}
