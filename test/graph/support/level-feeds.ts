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
  const levels: (readonly [string, Feed])[] = [];
  for (const group of taken) {
    const { data, dims } = aOf(group.id);
    const [lanes = 0, inFeatures = 0, rank = 0] = dims;
    const block = sideBlockSize(group);
    const { graph, stacks } = sideLevelsGraph([group], kind);
    const name = stacks[0]?.name ?? '';
    const results = await runGraph(graph, tinyCheckpoint, {
      [`${name}.a`]: { data, dims: [lanes, inFeatures / block, block, rank] },
      [`${name}.ids`]: { data: new BigInt64Array(lanes), dims: [lanes] },
    });
    levels.push(
      [names.get(group.id)?.a ?? '', { data: Int8Array.from(results[`${name}.levels`]?.data ?? []), dims }],
      [group.scales, { data: results[`${name}.scales`]?.data ?? new Float32Array(), dims: [lanes, 1, rank] }],
    );
  }
  return { ...feeds, ...Object.fromEntries<Feed>(levels) };
}
