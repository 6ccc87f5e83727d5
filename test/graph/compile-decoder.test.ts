import { describe, expect, it } from 'vitest';
import {
  compileDecoder,
  type CompileOptions,
  int8Blocks,
  type LlamaConfig,
  llamaCheckpointTensors,
  llamaSites,
} from '../../src/architectures/index.ts';
import { checkpoint as recipeOf } from '../../src/graph/index.ts';
import { ropeFrequencies } from '../../src/architectures/llama/rope.ts';
import { type Checkpoint, quantisedAndBack } from './support/materialise.ts';
import { referenceLogits } from './support/reference-llama.ts';
import { openGraph, runGraph } from './support/run-graph.ts';
import { decoderFeeds, loraFeeds, type PastBuffers, type Row, seededAdapter, tinyCheckpoint, tinyLlama } from './support/tiny-llama.ts';

/** Mean error over mean size of the logits: activations are rounded to int8 by block. A wrong layout of the weights is above 0.5. */
const ACTIVATION_TOLERANCE = 0.04;
/** float32 against float64 over two layers. */
const FLOAT_TOLERANCE = 2e-4;

const PROMPT = [5, 17, 60, 2, 33, 90, 8, 41, 77];

async function compiledLogits(config: LlamaConfig, options: Partial<CompileOptions>, rows: readonly Row[]): Promise<readonly number[][]> {
  const { graph, loraGroups } = compileDecoder(config, { precision: 'fp32', lora: 'none', maxContext: config.maxContext, ...options });
  const results = await runGraph(graph, tinyCheckpoint, {
    ...decoderFeeds(config, rows, { capacity: 32 }),
    ...loraFeeds(loraGroups, rows),
  });
  return lines(results.logits?.data ?? new Float32Array(), config.vocabularySize);
}

function lines(logits: Float32Array, width: number): number[][] {
  return Array.from({ length: logits.length / width }, (_, line) => [...logits.subarray(line * width, (line + 1) * width)]);
}

function reference(config: LlamaConfig, row: Row, checkpoint = tinyCheckpoint): readonly (readonly number[])[] {
  return referenceLogits(
    { config, checkpoint, frequencies: ropeFrequencies(config), ...(row.adapter && { adapter: row.adapter }) },
    row.tokenIds,
  );
}

function largestDifference(left: readonly (readonly number[])[], right: readonly (readonly number[])[]): number {
  expect(left.length).toBe(right.length);
  return Math.max(...left.flatMap((line, index) => line.map((value, column) => Math.abs(value - (right[index]?.[column] ?? Number.NaN)))));
}

describe('a compiled decoder without adapters', () => {
  const variants: readonly (readonly [string, Partial<LlamaConfig>])[] = [
    ['a tied head', {}],
    ['a head of its own', { tiedHead: false }],
    ['attention bias', { attentionBias: true }],
    ['mlp bias', { mlpBias: true }],
    ['a head size that is not hidden / heads', { headSize: 32 }],
    ['a head size of 48', { headSize: 48 }],
    ['one key-value head', { kvHeadCount: 1 }],
    ['linear rope scaling', { ropeScaling: { kind: 'linear', factor: 4 } }],
    ['llama3 rope scaling', { ropeScaling: { kind: 'llama3', factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxContext: 32 } }],
    ['a sliding window', { slidingWindow: 4 }],
  ];
  it.each(variants)('agrees with the float64 reference with %s', async (_, change) => {
    const config = { ...tinyLlama, ...change };
    const row = { tokenIds: PROMPT };
    expect(largestDifference(await compiledLogits(config, {}, [row]), reference(config, row))).toBeLessThan(FLOAT_TOLERANCE);
  });
});

describe('a compiled decoder with adapters', () => {
  const sites = llamaSites(tinyLlama);
  const layered = (rank: number) => (site: string) => (site.startsWith('layers.') ? rank : 0);
  const someRanks = new Map([
    ['layers.0.q', 3],
    ['layers.0.v', 5],
    ['layers.1.down', 2],
  ]);
  const some = (site: string): number => someRanks.get(site) ?? 0;

  it('gives every row of a batch its own adapter in the linear profile', async () => {
    const rows: readonly Row[] = [
      { tokenIds: PROMPT, adapter: seededAdapter(sites, 'one', layered(4)) },
      { tokenIds: [...PROMPT].reverse(), adapter: seededAdapter(sites, 'two', some) },
      { tokenIds: PROMPT },
    ];
    const logits = await compiledLogits(tinyLlama, { lora: 'linear' }, rows);
    expect(
      largestDifference(
        logits,
        rows.flatMap((row) => reference(tinyLlama, row)),
      ),
    ).toBeLessThan(FLOAT_TOLERANCE);
  });

  it('takes gains, biases, embedding and head in the full profile, over biases of the base', async () => {
    const config = { ...tinyLlama, attentionBias: true, mlpBias: true };
    const rows: readonly Row[] = [
      { tokenIds: PROMPT, adapter: seededAdapter(sites, 'three', () => 2, true) },
      { tokenIds: PROMPT, adapter: seededAdapter(sites, 'four', some) },
      { tokenIds: PROMPT },
    ];
    const logits = await compiledLogits(config, { lora: 'full' }, rows);
    expect(
      largestDifference(
        logits,
        rows.flatMap((row) => reference(config, row)),
      ),
    ).toBeLessThan(FLOAT_TOLERANCE);
  });

  it.each(['linear', 'full'] as const)('with every rank 0 the %s profile equals the base', async (lora) => {
    const rows = [{ tokenIds: PROMPT }];
    expect(await compiledLogits(tinyLlama, { lora }, rows)).toEqual(await compiledLogits(tinyLlama, {}, rows));
  });
});

describe('a compiled decoder at lower precision', () => {
  const config = { ...tinyLlama, tiedHead: false };
  const adapted = { tokenIds: PROMPT, adapter: seededAdapter(llamaSites(config), 'five', () => 3, true) };

  it.each([
    ['int8', 'none', { tokenIds: PROMPT }],
    ['int8', 'full', adapted],
    ['int4', 'none', { tokenIds: PROMPT }],
    ['int4', 'full', adapted],
  ] as const)('at %s with adapters %s computes with the quantised weights', async (precision, lora, row) => {
    const logits = (await compiledLogits(config, { precision, lora }, [row])).flat();
    const expected = reference(config, row, quantisedCheckpoint(config, precision)).flat();
    expect(sumOfAbsolutes(logits.map((value, index) => value - (expected[index] ?? 0))) / sumOfAbsolutes(expected)).toBeLessThan(
      ACTIVATION_TOLERANCE,
    );
  });

  it('keeps a linear in float32 whose rows are no whole number of blocks', async () => {
    const odd = { ...config, intermediateSize: 80 };
    const { reports } = compileDecoder(odd, { precision: 'int8', lora: 'none', maxContext: 32 });
    expect(reports.find(({ pass }) => pass === 'quantise-linears-8')?.counts).toEqual({ bits8: 3 * 2 + 2, bits4: 0, keptFloat32: 2 });
    const logits = await compiledLogits(odd, { precision: 'int8' }, [{ tokenIds: PROMPT }]);
    expect(logits).toHaveLength(PROMPT.length);
  });
});

function quantisedCheckpoint(config: LlamaConfig, precision: 'int8' | 'int4'): Checkpoint {
  const tensors = new Map(llamaCheckpointTensors(config).map((tensor) => [tensor.name, tensor]));
  return (name, elements) => {
    const values = tinyCheckpoint(name, elements);
    const shape = tensors.get(name)?.shape ?? [];
    const [rows = 0, columns] = shape;
    if (columns === undefined) return values;
    const bits = precision === 'int4' && name.startsWith('model.layers.') ? 4 : 8;
    const { size, rotation } = bits === 4 ? ({ size: 32, rotation: null } as const) : int8Blocks(recipeOf(name, shape));
    return quantisedAndBack(values, rows, { bits, blockSize: size, rotation });
  };
}

function sumOfAbsolutes(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + Math.abs(value), 0);
}

describe('a compiled decoder with a cache', () => {
  it.each([
    ['everything', null],
    ['a window', 3],
  ] as const)('gives the same logits in chunks, then token by token, as in one run when a token sees %s', async (_, slidingWindow) => {
    const config = { ...tinyLlama, slidingWindow };
    const { graph } = compileDecoder(config, { precision: 'fp32', lora: 'none', maxContext: 64 });
    const opened = await openGraph(graph, tinyCheckpoint);
    const found: number[][] = [];
    let past: PastBuffers = { capacity: 24 };
    let start = 0;
    for (const length of [4, 3, 1, 1]) {
      const row = { tokenIds: PROMPT.slice(start, start + length), pastLength: start };
      const results = await opened.run(decoderFeeds(config, [row], past));
      found.push(...lines(results.logits?.data ?? new Float32Array(), config.vocabularySize));
      past = { capacity: 24, from: results };
      start += length;
    }
    await opened.close();
    expect(largestDifference(found, reference(config, { tokenIds: PROMPT }))).toBeLessThan(FLOAT_TOLERANCE);
  });

  it('decodes rows at different positions together', async () => {
    const { graph } = compileDecoder(tinyLlama, { precision: 'fp32', lora: 'none', maxContext: 64 });
    const opened = await openGraph(graph, tinyCheckpoint);
    const prompts = [PROMPT, PROMPT.slice(3, 7)];
    const pasts = await Promise.all(
      prompts.map((prompt) => opened.run(decoderFeeds(tinyLlama, [{ tokenIds: prompt.slice(0, -1) }], { capacity: 24 }))),
    );
    const joined = Object.fromEntries(
      Object.keys(pasts[0] ?? {}).map((name) => [
        name,
        { data: Float32Array.from(pasts.flatMap((past) => [...(past[name]?.data ?? [])])) },
      ]),
    );
    const rows = prompts.map((prompt) => ({ tokenIds: prompt.slice(-1), pastLength: prompt.length - 1 }));
    const together = await opened.run(decoderFeeds(tinyLlama, rows, { capacity: 24, from: joined }));
    await opened.close();
    const expected = prompts.map((tokenIds) => reference(tinyLlama, { tokenIds }).at(-1) ?? []);
    expect(largestDifference(lines(together.logits?.data ?? new Float32Array(), tinyLlama.vocabularySize), expected)).toBeLessThan(
      FLOAT_TOLERANCE,
    );
  });

  it('gives only the logits that are asked for, also none', async () => {
    const { graph } = compileDecoder(tinyLlama, { precision: 'int8', lora: 'none', maxContext: 64 });
    const opened = await openGraph(graph, tinyCheckpoint);
    const row = { tokenIds: PROMPT };
    const all = await opened.run(decoderFeeds(tinyLlama, [row], { capacity: 16 }));
    const last = await opened.run(decoderFeeds(tinyLlama, [row], { capacity: 16 }, [PROMPT.length - 1]));
    const none = await opened.run(decoderFeeds(tinyLlama, [row], { capacity: 16 }, []));
    await opened.close();
    expect([...(last.logits?.data ?? [])]).toEqual([...(all.logits?.data.slice(-tinyLlama.vocabularySize) ?? [])]);
    expect(none.logits?.dims).toEqual([1, 0, tinyLlama.vocabularySize]);
    expect([...(none['present.1.key']?.data ?? [])]).toEqual([...(all['present.1.key']?.data ?? [1])]);
  });

  it('takes all tokens through the last layer as far as keys and values need it, and those that are asked for through the rest', () => {
    const tokensOf = (options: Partial<CompileOptions>): Record<string, unknown> => {
      const { graph } = compileDecoder(tinyLlama, { precision: 'fp32', lora: 'none', maxContext: 64, ...options });
      return Object.fromEntries(graph.nodes.flatMap(({ site, outputs }) => (site ? [[site.group, outputs[0]?.shape[1]]] : [])));
    };
    const last = { 'layers.1.qkv': 'tokens', 'layers.1.o': 'positions', 'layers.1.gate_up': 'positions', 'layers.1.down': 'positions' };
    expect(tokensOf({})).toMatchObject({ 'layers.0.down': 'tokens', ...last, head: 'positions' });
    expect(tokensOf({ lastLayer: 'all' })).toMatchObject({ 'layers.1.o': 'tokens', 'layers.1.down': 'tokens', head: 'positions' });
  });
});
