// Lets long computations share the front's thread: they ask between small pieces of work and wait a turn when they held it too long.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../core/index.ts';

/** Longest time that a computation keeps the event loop, if its pieces are short. */
const MAX_HOLD_MS = 8;

/** Waits for the next turn of the event loop when the present one is used up, else answers at once. */
export type TakeTurns = () => Promise<void> | undefined;

export function createTurns(clock: Pick<Clock, 'monotonic'>): TakeTurns {
  let startedMs = clock.monotonic();
  return () => {
    if (clock.monotonic() - startedMs < MAX_HOLD_MS) return undefined;
    return nextTurn().then(() => {
      startedMs = clock.monotonic();
    });
  };
}
