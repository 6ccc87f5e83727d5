// Int8 A in ONNX Runtime: what the graph that makes it computes, against the same in plain numbers.
import { describe, expect, it } from 'vitest';
import { rotateBlocks, type RowLevels, sideBlockSize, type SideLevels, sideLevelsGraph } from '../../src/graph/index.ts';
import { constant } from '../../src/graph/ir/recipe.ts';
import { seededValues } from './support/random.ts';
import { runGraph } from './support/run-graph.ts';
import { tinyCheckpoint } from './support/tiny-llama.ts';

const LANES = 2;
const IN = 64;
const factors = seededValues(IN, 'factors').map((value) => 2 ** value);
const group = (id: string, how: Partial<SideLevels>): SideLevels => ({
  id,
  scales: `lora.${id}.scales`,
  inFeatures: IN,
  smoothing: null,
  rotation: null,
  ...how,
});
const groups = [
  group('plain', {}),
  group('smoothed', { smoothing: constant(factors) }),
  group('turned', { rotation: 32 }),
  group('both', { smoothing: constant(factors), rotation: 16 }),
];

/** Column `column` of a lane's A [IN, rank] as its levels stand for it: times the factors, then turned. */
function expectedColumn(
  a: Float32Array,
  { lane, column, rank }: { lane: number; column: number; rank: number },
  how: SideLevels,
): Float32Array {
  const values = Float32Array.from(
    { length: IN },
    (_, row) => (a[(lane * IN + row) * rank + column] ?? 0) * (how.smoothing ? (factors[row] ?? 0) : 1),
  );
  return how.rotation === null ? values : rotateBlocks(values, how.rotation);
}

async function levelsOf(how: SideLevels, kind: RowLevels, a: Float32Array, rank: number) {
  const block = sideBlockSize(how);
  const { graph, stacks } = sideLevelsGraph([group('another', { rotation: how.rotation }), how], kind);
  expect(stacks).toMatchObject([{ inFeatures: IN, blockSize: block, ids: ['another', how.id] }]);
  const name = stacks[0]?.name ?? '';
  const results = await runGraph(graph, tinyCheckpoint, {
    [`${name}.a`]: { data: a, dims: [LANES, IN / block, block, rank] },
    [`${name}.ids`]: { data: BigInt64Array.of(1n, 1n), dims: [LANES] },
  });
  return { levels: results[`${name}.levels`], scales: results[`${name}.scales`] };
}

describe('levels of A', () => {
  it.each(groups.flatMap((how) => (['full', 'paired'] as const).map((kind) => [how.id, kind, how] as const)))(
    'are A, %s, within half a step of each column, levels %s',
    async (_, kind, how) => {
      const rank = 3;
      const a = seededValues(LANES * IN * rank, how.id, 0.3);
      const { levels, scales } = await levelsOf(how, kind, a, rank);
      expect(scales?.dims).toEqual([LANES, 1, 1, rank]);
      for (let lane = 0; lane < LANES; lane++)
        for (let column = 0; column < rank; column++) {
          const expected = expectedColumn(a, { lane, column, rank }, how);
          const scale = scales?.data[lane * rank + column] ?? 0;
          const own = expected.map((_value, row) => levels?.data[(lane * IN + row) * rank + column] ?? Number.NaN);
          expect(Math.max(...own.map(Math.abs))).toBe(kind === 'full' ? 127 : 64);
          for (const [row, value] of expected.entries()) expect(Math.abs((own[row] ?? 0) * scale - value)).toBeLessThan(0.501 * scale);
        }
    },
  );

  it('are zeros for a column of zeros, and none without columns', async () => {
    const [, , , both] = groups;
    if (!both) throw new Error('four groups were expected');
    const { levels, scales } = await levelsOf(both, 'full', new Float32Array(LANES * IN), 1);
    expect(levels?.data.every((level) => level === 0)).toBe(true);
    expect(scales?.data.every((scale) => Number.isFinite(scale) && scale < 1e-20)).toBe(true);
    expect((await levelsOf(both, 'full', new Float32Array(), 0)).levels?.data).toHaveLength(0);
  });
});
