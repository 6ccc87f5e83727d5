// How rows use the prefix cache: blocks that are known are copied into the row, blocks that it computes are kept for others.
import type { PrefixNode, PrefixPlace } from './kv-cache/prefix-cache.ts';
import { BLOCK_POSITIONS } from './ports.ts';
import type { Row, Sequence } from './sequence.ts';
import type { EngineState } from './state.ts';

/** Blocks copied in one step: about as much time as a short call takes. */
const MAX_RESTORED_BLOCKS = 32;

/** Where a joining row begins; null when nothing is kept. */
export function firstPlace(state: EngineState, { request, tokens }: Sequence): PrefixPlace | null {
  const { prefixCache } = state;
  if (prefixCache.slotCount === 0) return null;
  return placeAfter(state, tokens, prefixCache.root(request), 0);
}

/** The row may take the block at its place from the cache. One position of the prompt is always computed, for its logits. */
export function canRestore(sequence: Sequence, { prefix, cachedPositions, prefillTarget }: Row): boolean {
  return (
    prefix !== null &&
    prefix.nextKey !== null &&
    prefix.positions === cachedPositions &&
    cachedPositions + BLOCK_POSITIONS < prefillTarget &&
    sequence.nextPromptLogprob === null
  );
}

/** Copies the next known blocks into the row. Answers their positions, 0 when the next block must be computed. */
export function restorePrefix(state: EngineState, sequence: Sequence, row: Row): number {
  const before = row.cachedPositions;
  if (row.prefix !== null && before === 0 && !sequence.preempted) state.counters.prefixQueriedTokens += row.prefillTarget;
  for (let count = 0; count < MAX_RESTORED_BLOCKS && canRestore(sequence, row); count += 1) {
    const key = row.prefix?.nextKey ?? null;
    const block = key === null ? null : state.prefixCache.find(key);
    if (block === null) break;
    state.executor.restoreBlock(row.id, row.cachedPositions, block.slot);
    row.cachedPositions += BLOCK_POSITIONS;
    row.prefix = placeAfter(state, sequence.tokens, block, row.cachedPositions);
  }
  const restored = row.cachedPositions - before;
  if (restored === 0) return 0;
  row.lastPrefillStep = state.step;
  if (!sequence.preempted) {
    sequence.cachedTokens += restored;
    state.counters.prefixHitTokens += restored;
  }
  return restored;
}

/** Keeps every whole block that the row has computed since the last time. */
export function keepPrefix(state: EngineState, sequence: Sequence, row: Row): void {
  for (let place = row.prefix; place !== null && place.positions + BLOCK_POSITIONS <= row.cachedPositions; place = row.prefix) {
    // Not the key of the place: the sequence may have produced tokens since that was made.
    const key = state.prefixCache.keyAfter(place.node, sequence.tokens, place.positions);
    const node = key === null ? null : keepBlock(state, row, place, key);
    row.prefix = node && placeAfter(state, sequence.tokens, node, place.positions + BLOCK_POSITIONS);
  }
  if (row.prefix !== null && row.cachedPositions >= row.prefillTarget) state.prefixCache.touch(row.prefix.node);
}

function keepBlock(state: EngineState, row: Row, { node, positions }: PrefixPlace, key: string): PrefixNode | null {
  const known = state.prefixCache.find(key);
  if (known !== null) return known;
  const block = state.prefixCache.add(key, node);
  if (block !== null) state.executor.saveBlock(row.id, positions, block.slot);
  return block;
}

function placeAfter(state: EngineState, tokens: readonly number[], node: PrefixNode, positions: number): PrefixPlace {
  return { node, positions, nextKey: state.prefixCache.keyAfter(node, tokens, positions) };
}
