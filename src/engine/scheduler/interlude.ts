// What may run between two decode calls: joins and prompt chunks, within a time that keeps the rows that decode flowing. Pure.
import { CHUNK_STEP, type ChunkCosts, predictChunk } from './costs.ts';

/** The time since the latest decode call. */
export interface Interlude {
  /** Estimated cost of that decode call. */
  readonly decodeMs: number;
  readonly spentMs: number;
  readonly actionCount: number;
  /** Interludes just before it that a prompt let pass, to have their time in this one. */
  readonly passedCount: number;
}

/** `passed` is the interlude before the call, where a prompt waited and nothing was done in it. */
export function afterDecode(decodeMs: number, passed: Interlude | null = null): Interlude {
  const passedCount = passed === null ? 0 : Math.min(MOST_PASSED, passed.passedCount + 1);
  return { decodeMs, spentMs: 0, actionCount: 0, passedCount };
}

export function afterAction({ spentMs, actionCount, ...interlude }: Interlude, ms: number): Interlude {
  return { ...interlude, spentMs: spentMs + ms, actionCount: actionCount + 1 };
}

/** A decode call of one row is so short that prompts would get next to nothing of the device. */
const FEW_ROWS = 2;

/**
 * Milliseconds that are left. The decode call's own cost times (`maxStretch` - 1) is the whole, and what was passed, so time between tokens
 * grows to at most `maxStretch` times that without prompts, on average. One row yields as much time as two.
 */
export function remainingMs({ decodeMs, spentMs, passedCount }: Interlude, maxStretch: number, decodingCount: number): number {
  if (decodingCount === 0) return Infinity;
  return (1 + passedCount) * decodeMs * (maxStretch - 1) * Math.max(1, FEW_ROWS / decodingCount) - spentMs;
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
  readonly place: ChunkPlace;
}

/**
 * Most of a shorter call's time does not depend on its tokens (late in a long prompt a call of 4 takes as long as a third of one of 24 does).
 * So a rest of so many is read in one call or not yet, and of a longer prompt no less is read where it can wait for the time.
 */
const WORTHWHILE_CHUNK = 6 * CHUNK_STEP;

/**
 * In a mixed call the decoding rows have paid for what does not depend on tokens, but for reading what is cached of the prompt: little as long as that
 * is not more than so many positions.
 */
const WORTHWHILE_MIXED_CHUNK = 2 * CHUNK_STEP;
const FEW_POSITIONS = 512;

export type ChunkPlace = 'alone' | 'mixed';

/** So long a prompt waits for the time of a worthwhile chunk. */
const MOST_PASSED = 2;

/** Tokens of the next prefill call: what fits, the least chunk when it is the interlude's first action and has waited, else 0. */
export function chunkFor(
  costs: ChunkCosts,
  interlude: Interlude,
  leftMs: number,
  { position, tokenCount, maxChunk, place }: ChunkLimits,
): number {
  const most = Math.min(tokenCount, maxChunk);
  const predictedMs = (count: number): number => predictChunk(costs, count, position);
  if (leftMs === Infinity) return unhurriedChunk(most, predictedMs);
  const worthwhile = place === 'mixed' && position < FEW_POSITIONS ? WORTHWHILE_MIXED_CHUNK : WORTHWHILE_CHUNK;
  if (most <= worthwhile) return allows(interlude, leftMs, predictedMs(most)) ? most : 0;
  const hasWaited = interlude.actionCount === 0 && interlude.passedCount === MOST_PASSED;
  const least = hasWaited ? CHUNK_STEP : worthwhile;
  for (let count = most; count >= least; count = Math.ceil(count / CHUNK_STEP - 1) * CHUNK_STEP) {
    if (predictedMs(count) <= leftMs) return count;
  }
  return hasWaited ? least : 0;
}

/** Larger calls are a little cheaper a token, but who comes while one runs waits for its end. */
const UNHURRIED_CHUNK = 32 * CHUNK_STEP;
const LONGEST_CALL_MS = 250;

/** While nothing decodes: more tokens than usual where the call stays short. */
function unhurriedChunk(most: number, predictedMs: (count: number) => number): number {
  for (let count = most; count > UNHURRIED_CHUNK; count = Math.ceil(count / 2 / CHUNK_STEP) * CHUNK_STEP) {
    if (predictedMs(count) <= LONGEST_CALL_MS) return count;
  }
  return Math.min(most, UNHURRIED_CHUNK);
}
