// What the rows that decode leave for others between two of their calls.
import { remainingMs } from './scheduler/interlude.ts';
import { decodingCount } from './scheduler/plan.ts';
import type { Row } from './sequence.ts';
import type { EngineState } from './state.ts';

export function runningRows({ running }: Pick<EngineState, 'running'>): readonly Row[] {
  return [...running.values()].flatMap(({ row }) => row ?? []);
}

/** Milliseconds of the interlude that are left; Infinity while nothing decodes. */
export function timeLeftMs(state: EngineState): number {
  return remainingMs(state.interlude, state.limits.maxStretch, decodingCount(runningRows(state)));
}
