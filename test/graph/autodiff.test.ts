// Every rule of the gradient table against finite differences in ONNX Runtime, over ranks and kinds of broadcasting.
import { describe, expect, it } from 'vitest';
import { differentiableOps } from '../../src/graph/autodiff/rules/table.ts';
import { type Attributes, differentiate, emitterAtEnd, float, Graph, int, ints, type Inverse, type Value } from '../../src/graph/index.ts';
import { constant } from '../../src/graph/ir/recipe.ts';
import { verify } from '../../src/graph/verify.ts';
import { seededValues } from './support/random.ts';
import { type Feed, openGraph } from './support/run-graph.ts';

/** Central differences of float32 functions of order 1 with a step of 1e-2: their own error is about 1e-3 of the slope. */
const SLOPE_TOLERANCE = 5e-3;
const STEP = 1e-2;

interface Case {
  readonly op: string;
  readonly title: string;
  readonly shapes: readonly (readonly number[])[];
  readonly attributes?: Attributes;
  /** Inputs behind the differentiable ones. */
  readonly constants?: (graph: Graph) => readonly (Value | null)[];
  readonly outputs?: number;
  /** Inputs, by index, are kept away from zero by this much. */
  readonly positive?: boolean;
  readonly wanted?: readonly number[];
  readonly inverse?: (graph: Graph, constants: readonly (Value | null)[]) => ReadonlyMap<Value, Inverse>;
}

const integers = (graph: Graph, values: readonly number[], shape?: readonly number[]): Value =>
  graph.initializer(constant(BigInt64Array.from(values, BigInt), shape));

const BROADCASTS: readonly (readonly [string, readonly number[], readonly number[]])[] = [
  ['equal shapes of 1 axis', [5], [5]],
  ['equal shapes of 4 axes', [2, 3, 2, 4], [2, 3, 2, 4]],
  ['a row', [3, 4], [4]],
  ['a column', [3, 4], [3, 1]],
  ['a scalar', [2, 3, 4], []],
  ['a middle axis', [2, 3, 4], [2, 1, 4]],
  ['both sides', [3, 1, 4], [2, 1]],
  ['the left side', [4], [2, 3, 4]],
];

const elementwise = (op: string): readonly Case[] =>
  BROADCASTS.map(([title, left, right]) => ({ op, title, shapes: [left, right], positive: op === 'Div' }));

const rotation = (graph: Graph): readonly Value[] => {
  const angles = seededValues(6 * 2, 'angles', 3);
  return [
    integers(graph, [0]),
    graph.initializer(constant(angles.map(Math.cos), [6, 2])),
    graph.initializer(constant(angles.map(Math.sin), [6, 2])),
  ];
};

const products = (transA: boolean, transB: boolean): Attributes => ({
  alpha: float(0.7),
  ...(transA && { transA: int(1) }),
  ...(transB && { transB: int(1) }),
});

const exchange = (shape: readonly number[], exchanged: boolean): readonly number[] =>
  exchanged ? [...shape.slice(0, -2), shape.at(-1) ?? 1, shape.at(-2) ?? 1] : shape;

const CASES: readonly Case[] = [
  ...['Add', 'Sub', 'Mul', 'Div'].flatMap(elementwise),
  ...['Sigmoid', 'Sqrt'].flatMap((op) =>
    [[7], [2, 3, 4]].map((shape) => ({ op, title: `${shape.length} axes`, shapes: [shape], positive: true })),
  ),
  ...[[7], [2, 3, 4]].map((shape) => ({
    op: 'QuickGelu',
    title: `${shape.length} axes`,
    shapes: [shape],
    attributes: { alpha: float(1) },
  })),
  {
    op: 'MatMul',
    title: 'matrices',
    shapes: [
      [3, 4],
      [4, 5],
    ],
  },
  {
    op: 'MatMul',
    title: 'a batch by a matrix',
    shapes: [
      [2, 3, 4],
      [4, 5],
    ],
  },
  {
    op: 'MatMul',
    title: 'batches',
    shapes: [
      [2, 3, 2, 4],
      [2, 3, 4, 2],
    ],
  },
  {
    op: 'MatMul',
    title: 'batches that broadcast',
    shapes: [
      [2, 1, 3, 4],
      [3, 4, 2],
    ],
  },
  ...[false, true].flatMap((transA) =>
    [false, true].flatMap((transB) =>
      [[], [2, 3]].map((batch) => ({
        op: 'FusedMatMul',
        title: `${batch.length} batch axes${transA ? ', left exchanged' : ''}${transB ? ', right exchanged' : ''}`,
        shapes: [
          [...batch, ...exchange([3, 4], transA)],
          [...batch, ...exchange([4, 5], transB)],
        ],
        attributes: products(transA, transB),
      })),
    ),
  ),
  ...[[3, 5], [5], [3, 1]].map((addend) => ({
    op: 'Gemm',
    title: `an addend of [${addend.join(', ')}]`,
    shapes: [[4, 3], [5, 4], addend],
    attributes: products(true, true),
  })),
  { op: 'Reshape', title: 'fewer axes', shapes: [[2, 3, 4]], constants: (graph) => [integers(graph, [6, 4])] },
  { op: 'Reshape', title: 'more axes', shapes: [[2, 12]], constants: (graph) => [integers(graph, [0, 3, 2, 2])] },
  { op: 'Transpose', title: 'a matrix', shapes: [[3, 4]], attributes: { perm: ints([1, 0]) } },
  { op: 'Transpose', title: 'a rotation of axes', shapes: [[2, 3, 4]], attributes: { perm: ints([2, 0, 1]) } },
  {
    op: 'Split',
    title: 'the last axis',
    shapes: [[3, 7]],
    constants: (graph) => [integers(graph, [2, 4, 1])],
    attributes: { axis: int(-1) },
    outputs: 3,
  },
  {
    op: 'Split',
    title: 'the first axis',
    shapes: [[5, 2]],
    constants: (graph) => [integers(graph, [3, 2])],
    attributes: { axis: int(0) },
    outputs: 2,
  },
  {
    op: 'Concat',
    title: 'the last axis',
    shapes: [
      [3, 2],
      [3, 4],
    ],
    attributes: { axis: int(-1) },
  },
  {
    op: 'Concat',
    title: 'the first axis',
    shapes: [
      [2, 2],
      [3, 2],
      [1, 2],
    ],
    attributes: { axis: int(0) },
  },
  {
    op: 'Gather',
    title: 'every row once, in another order and shape',
    shapes: [[4, 3]],
    constants: (graph) => [integers(graph, [2, 0, 3, 1], [2, 2])],
    attributes: { axis: int(0) },
    inverse: (graph, [indices]) => new Map([[indices as Value, { indices: integers(graph, [1, 3, 0, 2]), missing: 'none' } as const]]),
  },
  {
    op: 'Gather',
    title: 'some rows',
    shapes: [[4, 3]],
    constants: (graph) => [integers(graph, [3, 1])],
    attributes: { axis: int(0) },
    inverse: (graph, [indices]) => new Map([[indices as Value, { indices: integers(graph, [2, 1, 2, 0]), missing: 'zero' } as const]]),
  },
  {
    op: 'Gather',
    title: 'some rows to several places',
    shapes: [[3, 2]],
    constants: (graph) => [integers(graph, [2, 0, 0, 1, 2, 0], [2, 3])],
    attributes: { axis: int(0) },
    inverse: (graph, [indices]) => {
      const copies = { places: integers(graph, [2, 4, 5]), rows: integers(graph, [0, 0, 2, 2, 0, 0], [3, 2]) };
      return new Map([[indices as Value, { indices: integers(graph, [1, 3, 0]), missing: 'none', copies } as const]]);
    },
  },
  ...[[5], [3, 4], [2, 2, 3, 4]].map((shape) => ({
    op: 'Softmax',
    title: `${shape.length} axes`,
    shapes: [shape],
    attributes: { axis: int(-1) },
  })),
  ...[[5], [3, 4], [2, 3, 4]].map((shape) => ({
    op: 'ReduceLogSumExp',
    title: `${shape.length} axes`,
    shapes: [shape],
    attributes: { axes: ints([-1]), keepdims: int(1) },
  })),
  ...[0, 1].flatMap((keepdims) =>
    [[-1], [0], [0, 2]].map((axes) => ({
      op: 'ReduceSum',
      title: `axes ${axes.join(', ')}, ${keepdims === 1 ? 'kept' : 'dropped'}`,
      shapes: [[2, 3, 4]],
      constants: (graph: Graph) => [integers(graph, axes)],
      attributes: { keepdims: int(keepdims) },
    })),
  ),
  ...[
    [3, 8],
    [2, 3, 8],
  ].map((shape) => ({
    op: 'SimplifiedLayerNormalization',
    title: `${shape.length} axes`,
    shapes: [shape, [8]],
    attributes: { epsilon: float(1e-5), axis: int(-1) },
    outputs: 2,
    wanted: [0],
  })),
  {
    op: 'RotaryEmbedding',
    title: 'rows, heads and positions',
    shapes: [[2, 3, 5, 4]],
    constants: rotation,
    attributes: { interleaved: int(0) },
  },
];

interface Built {
  readonly graph: Graph;
  readonly inputs: readonly Value[];
  readonly gradients: ReadonlyMap<Value, Value>;
}

/** Sum of the operator's outputs, each element with a weight of its own, and its gradients by every input. */
function build({ op, shapes, attributes = {}, constants, outputs = 1, wanted, inverse }: Case): Built {
  const graph = new Graph('case');
  const inputs = shapes.map((shape, index) => graph.addInput(`x${index}`, 'float32', shape));
  const emitter = emitterAtEnd(graph);
  const more = constants?.(graph) ?? [];
  const results = emitter.emitAll(op, [...inputs, ...more], attributes, { wanted: Array.from({ length: outputs }, () => true) });
  const read = wanted ? results.filter((_, index) => wanted.includes(index)) : results;
  const terms = read.map((result, index) => {
    const weights = seededValues(size(result.shape), `${op} ${index}`);
    const product = emitter.emit('Mul', [result, graph.initializer(constant(weights, result.shape.map(Number)))]);
    const axes = result.shape.map((_, axis) => axis);
    return axes.length === 0 ? product : emitter.emit('ReduceSum', [product, integers(graph, axes)], { keepdims: int(0) });
  });
  const sum = terms.reduce((left, right) => emitter.emit('Add', [left, right]));
  const { gradients } = differentiate(graph, { of: sum, by: inputs, inverses: inverse?.(graph, more) ?? new Map() });
  graph.addOutput(sum, 'sum');
  // Two inputs may have one gradient between them.
  for (const gradient of new Set(gradients.values())) graph.addOutput(gradient, `gradient of ${gradient.name}`);
  verify(graph);
  return { graph, inputs, gradients };
}

function size(shape: Value['shape']): number {
  return shape.reduce<number>((product, dim) => product * Number(dim), 1);
}

interface Slope {
  readonly found: number;
  readonly expected: number;
}

/** Slopes of the sum along two directions for each input: by finite differences, and by the gradient. */
async function slopesOf(wanted: Case): Promise<readonly Slope[]> {
  const { graph, inputs, gradients } = build(wanted);
  const opened = await openGraph(graph, () => new Float32Array());
  const values = inputs.map((input) =>
    seededValues(size(input.shape), `${wanted.title} ${input.name}`).map((value) => (wanted.positive ? 1.5 + 0.5 * value : value)),
  );
  const feeds = (moved?: { readonly index: number; readonly by: Float32Array; readonly step: number }): Record<string, Feed> =>
    Object.fromEntries(
      inputs.map((input, index) => {
        const data = (values[index] ?? new Float32Array()).map((value, place) =>
          moved?.index === index ? value + moved.step * (moved.by[place] ?? 0) : value,
        );
        return [input.name, { data, dims: input.shape.map(Number) }];
      }),
    );
  const results = await opened.run(feeds());
  const slopes: Slope[] = [];
  for (const [index, input] of inputs.entries()) {
    const gradient = results[gradients.get(input)?.name ?? ''];
    if (String(gradient?.dims) !== String(input.shape)) throw new Error(`the gradient of ${input.name} is [${String(gradient?.dims)}]`);
    for (const seed of ['one direction', 'another']) {
      const by = seededValues(size(input.shape), seed);
      const ahead = (await opened.run(feeds({ index, by, step: STEP })))['sum']?.data[0] ?? Number.NaN;
      const behind = (await opened.run(feeds({ index, by, step: -STEP })))['sum']?.data[0] ?? Number.NaN;
      const expected = by.reduce((sum, change, place) => sum + change * (gradient?.data[place] ?? Number.NaN), 0);
      slopes.push({ found: (ahead - behind) / (2 * STEP), expected });
    }
  }
  await opened.close();
  return slopes;
}

describe('gradients', () => {
  it.each(CASES.map((wanted) => [wanted.op, wanted.title, wanted] as const))(
    'of %s agree with finite differences: %s',
    async (_, __, wanted) => {
      const slopes = await slopesOf(wanted);
      expect(slopes.length).toBe(2 * wanted.shapes.length);
      for (const { found, expected } of slopes)
        expect(Math.abs(found - expected)).toBeLessThan(SLOPE_TOLERANCE * Math.max(1, Math.abs(expected)));
    },
  );

  it('are checked for every operator of the table', () => {
    expect(new Set(CASES.map(({ op }) => op))).toEqual(new Set(differentiableOps));
  });
});

describe('differentiate', () => {
  function twoStep(): { readonly graph: Graph; readonly x: Value; readonly y: Value; readonly sum: Value } {
    const graph = new Graph('g');
    const [x, y] = [graph.addInput('x', 'float32', ['n']), graph.addInput('y', 'float32', ['n'])];
    const emitter = emitterAtEnd(graph);
    return { graph, x, y, sum: emitter.emit('Mul', [emitter.emit('Sigmoid', [x], {}, { name: 'inner' }), y], {}, { name: 'outer' }) };
  }

  it('refuses an operator without a rule by its name and the node', () => {
    const graph = new Graph('g');
    const x = graph.addInput('x', 'float32', ['n']);
    const y = emitterAtEnd(graph, 'layer').emit('Abs', [x]);
    expect(() => differentiate(graph, { of: y, by: [x] })).toThrow(
      /gradient of layer\/Abs: operator Abs has no gradient; the table has .*MatMul/,
    );
  });

  it('refuses a gather whose inverse is not known', () => {
    const graph = new Graph('g');
    const [x, ids] = [graph.addInput('x', 'float32', ['n', 3]), graph.addInput('ids', 'int64', ['m'])];
    const y = emitterAtEnd(graph).emit('Gather', [x, ids], { axis: int(0) });
    expect(() => differentiate(graph, { of: y, by: [x] })).toThrow('the inverse of ids is not known');
  });

  it('computes nothing that no wanted gradient needs', () => {
    const { graph, y, sum } = twoStep();
    const before = graph.nodes.length;
    const { gradients } = differentiate(graph, { of: sum, by: [y] });
    // The gradient by y is the sigmoid itself.
    expect(gradients.get(y)?.name).toBe('inner');
    expect(graph.nodes.length).toBe(before);
  });

  it('lets no gradient through a stopped value, and says so when one was wanted', () => {
    const { graph, x, y, sum } = twoStep();
    const inner = graph.value('inner');
    expect(() => differentiate(graph, { of: sum, by: [x, y], stop: new Set(inner ? [inner] : []) })).toThrow('outer does not depend on x');
  });

  it('adds up the gradients of a value that is read twice', async () => {
    const graph = new Graph('g');
    const x = graph.addInput('x', 'float32', ['n']);
    const square = emitterAtEnd(graph).emit('Mul', [x, x]);
    const { gradients } = differentiate(graph, { of: square, by: [x] });
    for (const gradient of gradients.values()) graph.addOutput(gradient, 'gradient');
    const opened = await openGraph(graph, () => new Float32Array());
    const { gradient } = await opened.run({ x: { data: Float32Array.of(1, -2, 3), dims: [3] } });
    await opened.close();
    expect([...(gradient?.data ?? [])]).toEqual([2, -4, 6]);
  });
});
