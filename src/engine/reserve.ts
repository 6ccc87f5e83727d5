// KV room for the next token of a row: grow it to the next bucket, or make other requests give their rows up.
import { describeError } from '../core/index.ts';
import { fail, preempt } from './leave.ts';
import { bucketFor } from './scheduler/capacity.ts';
import { chooseVictim } from './scheduler/preemption.ts';
import type { Row, Sequence } from './sequence.ts';
import type { EngineState } from './state.ts';

/** Afterwards the row has a free position, or the sequence has lost its row (preempted, or failed with the executor). */
export function ensureRoom(state: EngineState, sequence: Sequence, row: Row): void {
  if (row.cachedPositions < row.capacity) return;
  const capacity = bucketFor(state.buckets, row.cachedPositions + 1);
  while (sequence.row === row) {
    if (state.ledger.tryGrow(row.id, capacity)) {
      grow(state, sequence, row, capacity);
      return;
    }
    const victim = chooseVictim(state.running.values());
    if (victim === null) throw new Error('KV memory is short although no request runs');
    preempt(state, victim);
  }
}

function grow(state: EngineState, sequence: Sequence, row: Row, capacity: number): void {
  try {
    state.executor.growRow(row.id, capacity, row.cachedPositions);
    row.capacity = capacity;
  } catch (error) {
    state.dependencies.logger.error({ requestId: sequence.id, error: describeError(error) }, 'growing a row failed');
    fail(state, sequence, 'generation_failed', 'the request could not be given more memory');
  }
}
