// What may run between two decode calls: joins and prompt chunks, within a time that keeps the rows that decode flowing. Pure.
import { CHUNK_STEP, predictPrefill, type CallCosts } from './costs.ts';

/** The time since the latest decode call. */
export interface Interlude {
  /** Estimated cost of that decode call. */
  readonly decodeMs: number;
  readonly spentMs: number;
  readonly actionCount: number;
}

export function afterDecode(decodeMs: number): Interlude {
  return { decodeMs, spentMs: 0, actionCount: 0 };
}

export function afterAction({ decodeMs, spentMs, actionCount }: Interlude, ms: number): Interlude {
  return { decodeMs, spentMs: spentMs + ms, actionCount: actionCount + 1 };
}

/** A decode call of fewer rows is so short that prompts would get next to nothing of the device. */
const FEW_ROWS = 4;

/**
 * Milliseconds that are left. The decode call's own cost times (`maxStretch` - 1) is the whole, so time between tokens grows to at most
 * `maxStretch` times that without prompts. Fewer than four rows yield as much time as four.
 */
export function remainingMs({ decodeMs, spentMs }: Interlude, maxStretch: number, decodingCount: number): number {
  if (decodingCount === 0) return Infinity;
  return decodeMs * (maxStretch - 1) * Math.max(1, FEW_ROWS / decodingCount) - spentMs;
}

/** The first action of an interlude always may run, or requests would wait for ever behind cheap decode calls. */
export function allows(interlude: Interlude, leftMs: number, predictedMs: number): boolean {
  return interlude.actionCount === 0 || predictedMs <= leftMs;
}

export interface ChunkLimits {
  /** Positions already in the cache. */
  readonly position: number;
  /** Tokens left, at least 1. */
  readonly tokenCount: number;
  /** Largest chunk of one call. */
  readonly maxChunk: number;
}

/**
 * So many tokens are read in one call or not yet: most of a short call's time does not depend on its tokens, so two take nearly twice as long, and a burst waits
 * that much longer for its first tokens.
 */
const SHORT_REST = 6 * CHUNK_STEP;

/** Tokens of the next prefill call: what fits, the least chunk when it is the interlude's first action, else 0. */
export function chunkFor(costs: CallCosts, interlude: Interlude, leftMs: number, { position, tokenCount, maxChunk }: ChunkLimits): number {
  const most = Math.min(tokenCount, maxChunk);
  const least = most <= SHORT_REST ? most : CHUNK_STEP;
  if (leftMs === Infinity) return most;
  for (let count = most; count > least; count = Math.ceil(count / CHUNK_STEP - 1) * CHUNK_STEP) {
    if (predictPrefill(costs, count, position) <= leftMs) return count;
  }
  return allows(interlude, leftMs, predictPrefill(costs, least, position)) ? least : 0;
}
