// The model of the fake executor: logits as a fixed function of an adapter and a whole history.
import type { PackedAdapter } from '../../src/adapters/packed.ts';

/** Identity of an adapter's content; 0 for the base. */
export function adapterKeyOf(adapter: PackedAdapter | null): number {
  return adapter === null ? 0 : adapter.bytes.reduce(mix, 1);
}

/** Logits in [-4, 4) from a hash of adapter, history and token id. */
export function fillHashLogits(line: Float32Array, history: readonly number[], adapterKey: number): void {
  const state = history.reduce(mix, adapterKey);
  for (let id = 0; id < line.length; id += 1) line[id] = (mix(state, id) / 2 ** 32) * 8 - 4;
}

/** The tokens that greedy decoding of the fake model gives, computed without any engine. */
export function fakeGreedyTokens(
  prompt: readonly number[],
  adapter: PackedAdapter | null,
  count: number,
  vocabularySize = 64,
): readonly number[] {
  const history = [...prompt];
  const line = new Float32Array(vocabularySize);
  for (let produced = 0; produced < count; produced += 1) {
    fillHashLogits(line, history, adapterKeyOf(adapter));
    history.push(line.indexOf(Math.max(...line)));
  }
  return history.slice(prompt.length);
}

/** Murmur3's finaliser over a running hash; unsigned 32-bit. */
function mix(state: number, value: number): number {
  let hash = (Math.imul(state, 31) + value + 0x9e3779b9) | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
