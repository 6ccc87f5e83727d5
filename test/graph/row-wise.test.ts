// Row-wise int8 products in ONNX Runtime: what they compute, alone and under adapters, and that rows do not meet.
import { describe, expect, it } from 'vitest';
import { buildLlama, compileDecoder, type LoraSupport, llamaSites, type RowWise } from '../../src/architectures/index.ts';
import {
  fuseProjections,
  packAttention,
  type RotationSize,
  type RowLevels,
  runPasses,
  smoothInputs,
  tryRows,
} from '../../src/graph/index.ts';
import { withLevels } from './support/level-feeds.ts';
import { type Checkpoint, rowQuantisedAndBack } from './support/materialise.ts';
import { seededValues } from './support/random.ts';
import { runGraph } from './support/run-graph.ts';
import { decoderFeeds, loraFeeds, type Row, seededAdapter, tinyCheckpoint, tinyLlama } from './support/tiny-llama.ts';

const config = tinyLlama;
const groups = Array.from({ length: config.layerCount }, (_, layer) =>
  ['qkv', 'o', 'gate_up', 'down'].map((name) => `layers.${layer}.${name}`),
).flat();
function inFeatures(group: string): number {
  if (group.endsWith('down')) return config.intermediateSize;
  return group.endsWith('.o') ? config.headCount * config.headSize : config.hiddenSize;
}
/** From 1/2 to 2. */
const factors = new Map(groups.map((group) => [group, seededValues(inFeatures(group), group).map((value) => 2 ** value)]));
const rowWise = (products: 1 | 2, levels: RowLevels, smoothing: ReadonlyMap<string, Float32Array>): RowWise => ({
  levels,
  others: products === 2 ? 'two-products' : 'blocks',
  groups: new Map(
    [...groups, 'head'].map((group) => [group, { products, rotation: null, range: null, smoothing: smoothing.get(group) ?? null }]),
  ),
});
const isNormed = (group: string): boolean => /qkv|gate_up/.test(group);
const rotationOf = (group: string): RotationSize => (isNormed(group) ? 16 : 32);
/** The same with turned inputs, and with a range for those of all rows that a norm makes. */
const turned = (form: RowWise, range: number | null): RowWise => ({
  ...form,
  groups: new Map(
    [...form.groups].map(([group, how]) => [group, { ...how, rotation: rotationOf(group), range: isNormed(group) ? range : null }]),
  ),
});
const linears = (form: RowWise): RowWise => ({ ...form, groups: new Map([...form.groups].filter(([group]) => group !== 'head')) });
const smoothed = linears(rowWise(1, 'paired', factors));
const plain = linears(rowWise(1, 'paired', new Map()));

const rows: readonly Row[] = [{ tokenIds: [3, 14, 15, 92, 65] }, { tokenIds: [27, 18, 28, 18, 28] }];
const adapted: readonly Row[] = rows.map((row, index) => ({
  ...row,
  adapter: seededAdapter(llamaSites(config), `adapter ${index}`, () => 4, false),
}));

/** Mean error over mean size of the logits: activations are rounded to 255 levels a row, over two layers. Without smoothing undone it is above 0.3. */
const ACTIVATION_TOLERANCE = 0.04;
/** The same with what these levels leave in 255 levels more. */
const TWO_PRODUCTS_TOLERANCE = 0.04 / 100;
/** The same with weights rounded to 128 levels as well. */
const WEIGHT_TOLERANCE = 0.08;
/** Of a channel that the weights bring back to the size of the others. */
const LOUD = 60;
/** Sums in another order; factors that are no powers of two. */
const REORDER_TOLERANCE = 5e-5;

async function logits(
  form: RowWise | null,
  lora: LoraSupport,
  runRows: readonly Row[],
  checkpoint: Checkpoint = tinyCheckpoint,
): Promise<Float32Array> {
  const decoder = compileDecoder(config, { precision: 'fp32', lora, maxContext: 64, ...(form && { rowWise: form }) });
  const adapters = await withLevels(decoder, form?.levels ?? 'full', loraFeeds(decoder.loraGroups, runRows));
  const results = await runGraph(decoder.graph, checkpoint, { ...decoderFeeds(config, runRows, { capacity: 8 }), ...adapters });
  return results.logits?.data ?? new Float32Array();
}

function error(actual: Float32Array, expected: Float32Array): number {
  expect(actual.length).toBe(expected.length);
  const sum = (values: Float32Array) => values.reduce((total, value) => total + Math.abs(value), 0);
  return sum(actual.map((value, index) => value - (expected[index] ?? Number.NaN))) / sum(expected);
}

function roundedLinears(levels: RowLevels): Checkpoint {
  return (name, elements) => {
    const values = tinyCheckpoint(name, elements);
    const linear = /\.(\w+)_proj\.weight/.exec(name)?.[1];
    return linear === undefined ? values : rowQuantisedAndBack(values, elements / inFeatures(`.${linear}`), levels);
  };
}

describe('row-wise products', () => {
  it('compute with the quantised weights', async () => {
    expect(error(await logits(plain, 'none', rows), await logits(null, 'none', rows, roundedLinears('paired')))).toBeLessThan(
      ACTIVATION_TOLERANCE,
    );
  });

  it.each(['full', 'paired'] as const)(
    'compute with the quantised weights alone where there are two of them, levels %s',
    async (levels) => {
      const doubled = await logits(linears(rowWise(2, levels, new Map())), 'none', rows);
      expect(error(doubled, await logits(null, 'none', rows, roundedLinears(levels)))).toBeLessThan(TWO_PRODUCTS_TOLERANCE);
    },
  );

  it('run when no logits are asked for, as in all but the last chunk of a prompt', async () => {
    const { graph } = compileDecoder(config, { precision: 'fp32', lora: 'none', maxContext: 64, rowWise: rowWise(2, 'full', new Map()) });
    const none = { logits_positions: { data: new BigInt64Array(0), dims: [rows.length, 0, 1] } };
    const results = await runGraph(graph, tinyCheckpoint, { ...decoderFeeds(config, rows, { capacity: 8 }), ...none });
    expect(results.logits?.dims).toEqual([rows.length, 0, config.vocabularySize]);
  });

  it('take the head too', async () => {
    const all = rowWise(2, 'full', new Map());
    const headAlone = { ...all, groups: new Map([...all.groups].filter(([group]) => group === 'head')) };
    const difference = error(await logits(headAlone, 'none', rows), await logits(null, 'none', rows));
    expect(difference).toBeGreaterThan(0);
    expect(difference).toBeLessThan(WEIGHT_TOLERANCE);
  });

  it.each(['none', 'linear', 'full'] as const)('stay near float32 with smoothed inputs and adapters, profile %s', async (lora) => {
    const runRows = lora === 'none' ? rows : adapted;
    const exact = await logits(null, lora, runRows);
    expect(error(await logits(smoothed, lora, runRows), exact)).toBeLessThan(WEIGHT_TOLERANCE);
  });

  it.each([null, 5])('stay near float32 with turned inputs and adapters, common range %s', async (range) => {
    const exact = await logits(null, 'linear', adapted);
    expect(error(await logits(turned(smoothed, range), 'linear', adapted), exact)).toBeLessThan(WEIGHT_TOLERANCE);
    expect(error(await logits(turned(rowWise(1, 'full', new Map()), range), 'linear', adapted), exact)).toBeLessThan(WEIGHT_TOLERANCE);
  });

  it('bear a channel that is far larger than all others where inputs are turned', async () => {
    const loud: Checkpoint = (name, elements) => {
      const values = tinyCheckpoint(name, elements).slice();
      if (name.endsWith('layernorm.weight')) values[7] = LOUD;
      else if (/(?:q|k|v|gate|up)_proj/.test(name))
        for (let index = 7; index < values.length; index += config.hiddenSize) values[index] = (values[index] ?? 0) / LOUD;
      return values;
    };
    const exact = await logits(null, 'none', rows, loud);
    const asItIs = error(await logits(plain, 'none', rows, loud), exact);
    expect(error(await logits(turned(plain, null), 'none', rows, loud), exact)).toBeLessThan(0.75 * asItIs);
  });

  it.each(['linear', 'full'] as const)('move far with these adapters, so that the check above sees them, profile %s', async (lora) => {
    expect(error(await logits(null, lora, rows), await logits(null, lora, adapted))).toBeGreaterThan(2 * WEIGHT_TOLERANCE);
  });

  it.each([
    ['smoothed', smoothed],
    ['turned', turned(smoothed, null)],
    ['with a common range', turned(smoothed, 5)],
  ])('give a row the same bits whatever shares the call, %s', async (_, form) => {
    const [first, second] = adapted;
    if (!first || !second) throw new Error('two rows were expected');
    const width = config.vocabularySize * first.tokenIds.length;
    const loud: Row = { tokenIds: second.tokenIds, adapter: seededAdapter(llamaSites(config), 'loud', () => 4, false) };
    for (const neighbour of [loud, { tokenIds: second.tokenIds }, first])
      expect((await logits(form, 'linear', [first, neighbour])).subarray(0, width)).toEqual(
        (await logits(form, 'linear', [first, second])).subarray(0, width),
      );
  });
});

describe('a graph with switches', () => {
  it('is the float32 decoder with all off, and the row-wise one with all on', async () => {
    const graph = buildLlama(config, { maxContext: 64 });
    const trials = new Map(groups.map((group) => [group, { rotation: rotationOf(group), hasRange: isNormed(group) }] as const));
    runPasses(graph, [fuseProjections, packAttention, smoothInputs(factors), tryRows(trials, 'paired')]);
    const range = 5;
    const numbers = (names: readonly string[], value: number) =>
      Object.fromEntries(names.map((name) => [name, { data: Float32Array.of(value), dims: [1] }]));
    const ranges = graph.inputs.map(({ name }) => name).filter((name) => name.startsWith('range.'));
    expect(ranges).toHaveLength(2 * config.layerCount);
    const run = async (value: number) => {
      const results = await runGraph(graph, tinyCheckpoint, {
        ...decoderFeeds(config, rows, { capacity: 8 }),
        ...numbers(
          groups.map((group) => `row_wise.${group}`),
          value,
        ),
        ...numbers(ranges, range),
      });
      return { logits: results.logits?.data ?? new Float32Array(), largest: results['largest.layers.0.qkv'] };
    };
    const off = await run(0);
    expect(error(off.logits, await logits(null, 'none', rows))).toBeLessThan(REORDER_TOLERANCE);
    expect(off.largest?.dims).toEqual([rows.length, rows[0]?.tokenIds.length, 1]);
    expect(error((await run(1)).logits, await logits(turned(smoothed, range), 'none', rows))).toBeLessThan(REORDER_TOLERANCE);
  });
});
