// Passes and orders of training graphs, in ONNX Runtime.
import { describe, expect, it } from 'vitest';
import {
  differentiate,
  emitterAtEnd,
  expandLogSumExp,
  float,
  fuseSilu,
  Graph,
  int,
  ints,
  keptValues,
  type Node,
  recompute,
  runPasses,
  scheduleBackward,
  stackSideInputs,
  type Value,
  valueBytes,
} from '../../src/graph/index.ts';
import { dropped, type SiteInputs } from '../../src/graph/passes/trained-site.ts';
import { channelNumbers, dropThreshold, tokenNumbers } from '../../src/training/trainer/computation/dropout.ts';
import { seededValues } from './support/random.ts';
import { type Feeds, runGraph } from './support/run-graph.ts';

const none = (): Float32Array => new Float32Array();

async function outputs(graph: Graph, feeds: Feeds): Promise<Readonly<Record<string, readonly number[]>>> {
  const results = await runGraph(graph, none, feeds);
  return Object.fromEntries(Object.entries(results).map(([name, { data }]) => [name, [...data]]));
}

describe('expand-log-sum-exp', () => {
  const values = { x: { data: Float32Array.of(1000, 1001, -2000, 0.5, 0.25, -0.5), dims: [2, 3] } };
  const build = (): Graph => {
    const graph = new Graph('g');
    const x = graph.addInput('x', 'float32', [2, 3]);
    const sum = emitterAtEnd(graph).emit('ReduceLogSumExp', [x], { axes: ints([-1]), keepdims: int(1) });
    const { gradients } = differentiate(graph, { of: sum, by: [x] });
    graph.addOutput(sum, 'sum');
    graph.addOutput(gradients.get(x) ?? x, 'gradient');
    return graph;
  };

  it('keeps the number, also of large logits, and the gradient, with one softmax between them', async () => {
    const graph = build();
    expect(runPasses(graph, [expandLogSumExp])[0]?.counts).toEqual({ nodes: 1 });
    expect(graph.nodes.filter(({ op }) => op === 'Softmax')).toHaveLength(1);
    const [found, before] = [await outputs(graph, values), await outputs(build(), values)];
    expect(found['gradient']).toEqual(before['gradient']);
    expect(found['sum']?.[0]).toBeCloseTo(1001 + Math.log1p(Math.exp(-1)), 3);
    expect(found['sum']?.[1]).toBeCloseTo(Math.log(Math.exp(0.5) + Math.exp(0.25) + Math.exp(-0.5)), 6);
  });

  it('does not lose what ONNX Runtime loses when it adds 49,152 terms in one float', async () => {
    const graph = new Graph('g');
    const x = graph.addInput('x', 'float32', [1, 49_152]);
    graph.addOutput(emitterAtEnd(graph).emit('ReduceLogSumExp', [x], { axes: ints([-1]), keepdims: int(1) }), 'sum');
    runPasses(graph, [expandLogSumExp]);
    const data = seededValues(49_152, 'logits', 4);
    const expected = Math.log(data.reduce((sum, value) => sum + Math.exp(value), 0));
    const { sum = [] } = await outputs(graph, { x: { data, dims: [1, 49_152] } });
    expect(Math.abs((sum[0] ?? 0) - expected)).toBeLessThan(5e-6);
  });
});

describe('stack-side-inputs', () => {
  /** Two side paths over x of different ranks and one over y; what each gives. */
  const build = (): Graph => {
    const graph = new Graph('g');
    const [x, y] = [graph.addInput('x', 'float32', ['t', 4]), graph.addInput('y', 'float32', ['t', 4])];
    const factors = [2, 3, 2].map((rank, index) => graph.addInput(`a${index}`, 'float32', [rank, 4]));
    const emitter = emitterAtEnd(graph, 'side');
    const results = factors.map((a, index) => {
      const down = emitter.emit('FusedMatMul', [index === 2 ? y : x, a], { transB: int(1) });
      return emitter.emit('Sigmoid', [down]);
    });
    for (const [index, result] of results.entries()) graph.addOutput(result, `result${index}`);
    return graph;
  };
  const feeds: Feeds = Object.fromEntries(
    (['x', 'y', 'a0', 'a1', 'a2'] as const).map((name, index) => {
      const rows = [3, 3, 2, 3, 2][index] ?? 0;
      return [name, { data: seededValues(rows * 4, name), dims: [rows, 4] }];
    }),
  );

  it('makes one product of the side paths over one input, whatever their ranks, and leaves others alone', async () => {
    const graph = build();
    expect(runPasses(graph, [stackSideInputs])[0]?.counts).toEqual({ groups: 1, products: 2 });
    expect(graph.nodes.filter(({ op }) => op === 'FusedMatMul')).toHaveLength(2);
    const [found, before] = [await outputs(graph, feeds), await outputs(build(), feeds)];
    for (const [name, values] of Object.entries(before))
      for (const [index, value] of values.entries()) expect(found[name]?.[index]).toBeCloseTo(value, 5);
    expect(runPasses(graph, [stackSideInputs])[0]?.modified).toBe(false);
  });
});

describe('fuse-silu', () => {
  it('makes one operator of x sigmoid(x) with the same values, unless something else reads the sigmoid', async () => {
    const build = (isRead: boolean): Graph => {
      const graph = new Graph('g');
      const x = graph.addInput('x', 'float32', [7]);
      const emitter = emitterAtEnd(graph);
      const gate = emitter.emit('Sigmoid', [x]);
      graph.addOutput(emitter.emit('Mul', [x, gate]), 'y');
      if (isRead) graph.addOutput(emitter.emit('Neg', [gate]), 'z');
      return graph;
    };
    const feeds = { x: { data: seededValues(7, 'silu', 4), dims: [7] } };
    const graph = build(false);
    expect(runPasses(graph, [fuseSilu])[0]?.counts).toEqual({ fused: 1 });
    const [found, before] = [await outputs(graph, feeds), await outputs(build(false), feeds)];
    for (const [index, value] of (found['y'] ?? []).entries()) expect(value).toBeCloseTo(before['y']?.[index] ?? Number.NaN, 6);
    expect(runPasses(build(true), [fuseSilu])[0]?.modified).toBe(false);
  });
});

/** y = sum of three layers x -> sigmoid(x W) and the gradients by W of each. */
function layers() {
  const graph = new Graph('layers');
  const x = graph.addInput('x', 'float32', ['t', 4]);
  const weights = [0, 1, 2].map((layer) => graph.addInput(`w${layer}`, 'float32', [4, 4]));
  const hidden = weights.reduce((value: Value, weight, layer) => {
    const emitter = emitterAtEnd(graph, `layers.${layer}`);
    return emitter.emit('Sigmoid', [emitter.emit('MatMul', [value, weight])]);
  }, x);
  const forward = new Set(graph.nodes);
  const { gradients, passed } = differentiate(graph, { of: hidden, by: weights });
  for (const [weight, gradient] of gradients) graph.addOutput(gradient, `gradient.${weight.name}`);
  graph.addOutput(hidden, 'y');
  const feeds: Feeds = {
    x: { data: seededValues(12, 'x'), dims: [3, 4] },
    ...Object.fromEntries(weights.map(({ name }) => [name, { data: seededValues(16, name), dims: [4, 4] }])),
  };
  return { graph, forward, passed, feeds };
}

describe('recompute', () => {
  it('repeats what the backward pass reads, and changes no bit of the results', async () => {
    const { graph, forward, feeds } = layers();
    const before = await outputs(layers().graph, feeds);
    const first = new Set([...forward].filter(({ name }: Node) => name.startsWith('layers.0')));
    expect(recompute(graph, first, forward)).toBe(2);
    runPasses(graph, []);
    expect(keptValues(graph, forward).map(({ value }) => value.name)).not.toContain('layers.0/Sigmoid');
    expect(await outputs(graph, feeds)).toEqual(before);
  });

  it('says what is kept without it, in bytes', () => {
    const { graph, forward } = layers();
    const kept = keptValues(graph, forward);
    expect(kept.map(({ value }) => value.name)).toEqual(['layers.0/Sigmoid', 'layers.1/Sigmoid', 'y']);
    expect(valueBytes(kept[0]?.value as Value, new Map([['t', 3]]))).toBe(48);
    expect(() => valueBytes(kept[0]?.value as Value, new Map())).toThrow('the size t of layers.0/Sigmoid is not known');
  });
});

describe('scheduleBackward', () => {
  it('puts gradients of late layers first among the results, what is made of forward values alone before the chain, and keeps the results', async () => {
    const { graph, forward, passed, feeds } = layers();
    const before = await outputs(layers().graph, feeds);
    scheduleBackward(graph, forward, passed);
    runPasses(graph, []);
    const names = graph.nodes.map(({ outputs: [output] }) => output?.name ?? '');
    const place = (name: string): number => names.indexOf(name);
    // ONNX Runtime starts from the end.
    expect(place('gradient.w2')).toBeGreaterThan(place('gradient.w1'));
    expect(place('gradient.w1')).toBeGreaterThan(place('gradient.w0'));
    const slopes = graph.nodes.filter(({ op }) => op === 'Sub').map(({ name }) => graph.nodes.findIndex((node) => node.name === name));
    const chain = graph.nodes.findIndex(({ name }) => name.includes('MatMul/gradient/'));
    for (const slope of slopes) expect(slope).toBeLessThan(chain);
    expect(await outputs(graph, feeds)).toEqual(before);
  });
});

describe('dropout masks', () => {
  const [tokens, channels, rate] = [200, 300, 0.3];
  async function mask(site: string, microBatch = 1): Promise<readonly number[]> {
    const graph = new Graph('g');
    const inputs = {
      rows: graph.addInput('rows', 'int32', [tokens, 1]),
      columns: graph.addInput('columns', 'int32', [1, channels]),
      threshold: graph.addInput('threshold', 'int32', []),
      scale: graph.addInput('scale', 'float32', []),
    };
    const x = graph.addInput('x', 'float32', [tokens, channels]);
    graph.addOutput(dropped(emitterAtEnd(graph), x, { dropout: inputs } as SiteInputs), 'y');
    const { y = [] } = await outputs(graph, {
      rows: { data: tokenNumbers({ rate, seed: 5, microBatch }, site, tokens), dims: [tokens, 1] },
      columns: { data: channelNumbers(channels), dims: [1, channels] },
      threshold: { data: Int32Array.of(dropThreshold(rate)), dims: [] },
      scale: { data: Float32Array.of(2), dims: [] },
      x: { data: new Float32Array(tokens * channels).fill(1), dims: [tokens, channels] },
    });
    return y;
  }
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

  it('drop their rate, scale the rest, and follow no row, column or rectangle', async () => {
    const y = await mask('layers.0.q');
    expect(new Set(y)).toEqual(new Set([0, 2]));
    const signs = y.map((value) => (value === 0 ? -(1 - rate) : rate));
    // Four standard deviations of a mean of 60,000 independent elements.
    expect(Math.abs(mean(signs))).toBeLessThan(4 * Math.sqrt((rate * (1 - rate)) / y.length));
    const at = (token: number, channel: number): number => signs[token * channels + channel] ?? 0;
    const deviation = rate * (1 - rate);
    const products = (pick: (token: number, channel: number) => number): readonly number[] =>
      Array.from({ length: (tokens - 1) * (channels - 1) }, (_, index) => pick(Math.floor(index / (channels - 1)), index % (channels - 1)));
    const pairs = [
      products((token, channel) => at(token, channel) * at(token, channel + 1)),
      products((token, channel) => at(token, channel) * at(token + 1, channel)),
    ];
    for (const pair of pairs) expect(Math.abs(mean(pair))).toBeLessThan((4 * deviation) / Math.sqrt(pair.length));
    const rectangles = products(
      (token, channel) => at(token, channel) * at(token + 1, channel) * at(token, channel + 1) * at(token + 1, channel + 1),
    );
    expect(Math.abs(mean(rectangles))).toBeLessThan((4 * deviation ** 2) / Math.sqrt(rectangles.length));
  });

  it('differ from site to site and from one micro-batch to the next', async () => {
    const masks = [await mask('layers.0.q'), await mask('layers.0.v'), await mask('layers.0.q', 2)];
    const agreement = (left: readonly number[], right: readonly number[]): number =>
      mean(left.map((value, index) => (value === right[index] ? 1 : 0)));
    const expected = rate ** 2 + (1 - rate) ** 2;
    for (const [left, right] of [
      [0, 1],
      [0, 2],
      [1, 2],
    ] as const)
      expect(Math.abs(agreement(masks[left] ?? [], masks[right] ?? []) - expected)).toBeLessThan(0.01);
  });

  it('keep everything below a rate that rounds to nothing', () => {
    expect([dropThreshold(0), dropThreshold(0.5), dropThreshold(1)]).toEqual([-(2 ** 31), -1, 2 ** 31 - 1]);
  });
});

describe('the gradient of a norm', () => {
  it('needs the statistics, and is refused where they were not kept', () => {
    const graph = new Graph('g');
    const x = graph.addInput('x', 'float32', ['t', 4]);
    const emitter = emitterAtEnd(graph);
    const y = emitter.emit('SimplifiedLayerNormalization', [x, graph.addInput('scale', 'float32', [4])], {
      epsilon: float(1e-5),
      axis: int(-1),
    });
    expect(() => differentiate(graph, { of: y, by: [x] })).toThrow('SimplifiedLayerNormalization has no output 1');
  });
});
