// Adapter inputs of a graph whose side paths read levels: int8 A and its scales, made from the float32 A of other feeds.
import type { CompiledDecoder } from '../../../src/architectures/index.ts';
import { type RowLevels, sideBlockSize, sideLevelsGraph } from '../../../src/graph/index.ts';
import { type Feed, type Feeds, runGraph } from './run-graph.ts';
import { tinyCheckpoint } from './tiny-llama.ts';

/** `feeds` with levels in place of A for the groups that take them. */
export async function withLevels(
  { loraGroups, sideLevels }: Pick<CompiledDecoder, 'loraGroups' | 'sideLevels'>,
  kind: RowLevels,
  feeds: Feeds,
): Promise<Feeds> {
  const names = new Map(loraGroups.map(({ id, inputs }) => [id, inputs]));
  const taken = sideLevels.filter(({ id }) => names.has(id));
  if (taken.length === 0) return feeds;
  const aOf = (id: string): Feed => feeds[names.get(id)?.a ?? ''] ?? { data: new Float32Array(), dims: [] };
  const inBlocks = taken.map((group) => {
    const { data, dims } = aOf(group.id);
    const [lanes = 0, inFeatures = 0, rank = 0] = dims;
    const block = sideBlockSize(group);
    return [group.id, { data, dims: [lanes, inFeatures / block, block, rank] }] as const;
  });
  const results = await runGraph(sideLevelsGraph(taken, kind), tinyCheckpoint, Object.fromEntries(inBlocks));
  const levels = taken.flatMap(({ id, scales }): readonly (readonly [string, Feed])[] => {
    const [lanes = 0, , rank = 0] = aOf(id).dims;
    return [
      [names.get(id)?.a ?? '', { data: Int8Array.from(results[`${id}.levels`]?.data ?? []), dims: aOf(id).dims }],
      [scales, { data: results[`${id}.scales`]?.data ?? new Float32Array(), dims: [lanes, 1, rank] }],
    ];
  });
  return { ...feeds, ...Object.fromEntries<Feed>(levels) };
}
