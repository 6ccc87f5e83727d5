// Operators over ranks, attributes and kinds of broadcasting whose gradients are compared with finite differences.
import { type Attributes, float, type Graph, int, ints, type Inverse, type Value } from '../../src/graph/index.ts';
import { constant } from '../../src/graph/ir/recipe.ts';
import { seededValues } from './support/random.ts';

export interface Case {
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

export const integers = (graph: Graph, values: readonly number[], shape?: readonly number[]): Value =>
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

export const CASES: readonly Case[] = [
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
