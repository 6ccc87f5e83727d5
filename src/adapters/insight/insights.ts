// Insight over packed files: what routes ask for, and its computation in the calling thread. An entry runs it in a thread of its own.
import { readFile } from 'node:fs/promises';
import type { BaseModelDescription, BaseWeights } from '../../models/index.ts';
import { decodePacked, type PackedAdapter } from '../packed.ts';
import { compareAdapters, type AdapterComparison, type DirectionSide } from './compare.ts';
import { inspectAdapter, type AdapterInsight } from './inspect.ts';

export interface AdapterInsights {
  /** @param packedPath - file of the packed form; it must stay until the answer. */
  inspect(packedPath: string): Promise<AdapterInsight>;
  compare(firstPath: string, secondPath: string, side: DirectionSide): Promise<AdapterComparison>;
}

/** phi is shown for at most so many directions of each side. */
const MAX_COMPARED_RANK = 64;

/** Computes where it is called; a rank-16 adapter on all linears of the default base takes seconds. */
export function createInsights(base: BaseModelDescription, weights: BaseWeights): AdapterInsights {
  return {
    inspect: async (path) => inspectAdapter(await read(path), base, weights),
    compare: async (first, second, side) => compareAdapters(await read(first), await read(second), side, MAX_COMPARED_RANK),
  };
}

async function read(path: string): Promise<PackedAdapter> {
  return decodePacked(new Uint8Array(await readFile(path)));
}
