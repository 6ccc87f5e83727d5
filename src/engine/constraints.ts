// Requests whose output a grammar bounds: their masks are made elsewhere, and a row is not run before its mask is there.
import type { ErrorCode } from '../core/index.ts';
import { fail } from './leave.ts';
import type { Sequence } from './sequence.ts';
import type { EngineState } from './state.ts';

/** A mask takes well below this; one that takes longer must not hold up the rows beside it, so its row sits out instead. */
const MASK_WAIT_MS = 2;

/** Its next mask is still being made, so it can neither join nor be part of a call. */
export function awaitsMask({ constraint }: Sequence): boolean {
  return constraint !== null && constraint.state !== 'ready';
}

/** Before a step: gives running rows' masks a moment, and fails requests whose constraint failed. Costs nothing where nobody has one. */
export function settleConstraints(state: EngineState): void {
  const { constrained, dependencies } = state;
  if ([...constrained].some((sequence) => sequence.row !== null && sequence.constraint?.state === 'working'))
    dependencies.constraints?.settle(MASK_WAIT_MS);
  for (const sequence of constrained) {
    const { constraint } = sequence;
    if (constraint?.state !== 'failed') continue;
    const { code, message } = failure(constraint.problem);
    fail(state, sequence, code, message);
  }
}

function failure(problem: string | null): { readonly code: ErrorCode; readonly message: string } {
  if (problem === null) return { code: 'generation_failed', message: 'the grammar of this request was lost with its thread; try again' };
  return { code: 'invalid_request', message: `the grammar of this request cannot be used: ${problem}` };
}
