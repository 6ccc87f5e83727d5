// Finds stop strings in text that arrives in pieces. The first stop string to be complete wins, and of those that end at the same place the
// one that began first: so the outcome does not depend on how the text is cut. Knows no tokens.
import { AppError } from '../core/index.ts';
import type { StopMatcher } from './port.ts';

interface Match {
  readonly start: number;
  readonly end: number;
  readonly stop: string;
}

/** @throws AppError invalid_request for an empty stop string. */
export function createStopMatcher(stops: readonly string[]): StopMatcher {
  if (stops.includes(''))
    throw new AppError('invalid_request', 'A stop string is empty; expected at least one character.', { param: 'stop' });
  let held = '';
  let stopped: string | null = null;
  return {
    push(piece) {
      if (stopped !== null) return { text: '', stopped };
      const text = held + piece;
      const match = firstMatch(text, stops);
      if (match !== undefined) {
        held = '';
        stopped = match.stop;
        return { text: text.slice(0, match.start), stopped };
      }
      const heldLength = longestBeginning(text, stops);
      held = text.slice(text.length - heldLength);
      return { text: text.slice(0, text.length - heldLength), stopped: null };
    },
    flush() {
      const text = held;
      held = '';
      return text;
    },
  };
}

function firstMatch(text: string, stops: readonly string[]): Match | undefined {
  let best: Match | undefined;
  for (const stop of stops) {
    const start = text.indexOf(stop);
    if (start < 0) continue;
    const end = start + stop.length;
    if (best === undefined || end < best.end || (end === best.end && start < best.start)) best = { start, end, stop };
  }
  return best;
}

/** Length of the longest end of `text` that a stop string begins with, short of the whole stop string. */
function longestBeginning(text: string, stops: readonly string[]): number {
  let longest = 0;
  for (const stop of stops) {
    for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
      if (text.endsWith(stop.slice(0, length))) longest = length;
    }
  }
  return longest;
}
