// Operators of the standard ONNX domain that the compiler emits, at opset 17. SimplifiedLayerNormalization is ONNX Runtime's own,
// which it keeps in the standard domain.
import { intAttribute } from '../ir/attributes.ts';
import type { Dim, PartialTensorType, Shape } from '../ir/tensor-type.ts';
import { type InferenceContext, type OpSchema, optional, required } from './schema.ts';
import { broadcast, dim, expectDim, expectRank, input, matMulShape, normaliseAxis } from './shapes.ts';

const matMul: OpSchema = {
  op: 'MatMul',
  domain: '',
  inputs: ['left', 'right'],
  outputs: ['product'],
  attributes: {},
  infer: (context) => [{ type: 'float32', shape: matMulShape(input(context, 0, 'float32').shape, input(context, 1, 'float32').shape) }],
};

function elementwise(op: 'Add' | 'Div' | 'Max' | 'Mul' | 'Sub'): OpSchema {
  return {
    op,
    domain: '',
    inputs: ['left', 'right'],
    outputs: ['result'],
    attributes: {},
    infer: (context) => {
      const left = input(context, 0, 'float32', 'int64', 'int32');
      return [{ type: left.type, shape: broadcast(left.shape, input(context, 1, left.type).shape) }];
    },
  };
}

function unary(op: 'Neg' | 'Round' | 'Sigmoid'): OpSchema {
  return { op, domain: '', inputs: ['x'], outputs: ['y'], attributes: {}, infer: (context) => [input(context, 0, 'float32')] };
}

const gather: OpSchema = {
  op: 'Gather',
  domain: '',
  inputs: ['data', 'indices'],
  outputs: ['rows'],
  attributes: { axis: optional('int') },
  infer: (context) => {
    const data = input(context, 0);
    const indices = input(context, 1, 'int64', 'int32');
    const axis = normaliseAxis(intAttribute(context.attributes, 'axis', 0), data.shape.length);
    return [{ type: data.type, shape: [...data.shape.slice(0, axis), ...indices.shape, ...data.shape.slice(axis + 1)] }];
  },
};

const gatherNd: OpSchema = {
  op: 'GatherND',
  domain: '',
  inputs: ['data', 'indices'],
  outputs: ['rows'],
  attributes: { batch_dims: optional('int') },
  infer: (context) => {
    const data = input(context, 0);
    const indices = input(context, 1, 'int64');
    const batch = intAttribute(context.attributes, 'batch_dims', 0);
    for (let axis = 0; axis < batch; axis++) expectDim(indices.shape[axis], data.shape[axis], `batch dimension ${axis} of the indices`);
    const depth = dim(indices.shape, -1);
    if (typeof depth !== 'number') throw new Error(`last dimension of the indices is ${depth}, expected a number`);
    return [{ type: data.type, shape: [...indices.shape.slice(0, -1), ...data.shape.slice(batch + depth)] }];
  },
};

function splitOutputs(context: InferenceContext): readonly PartialTensorType[] {
  const data = input(context, 0);
  expectRank(input(context, 1, 'int64'), 1, 'sizes');
  const axis = normaliseAxis(intAttribute(context.attributes, 'axis', 0), data.shape.length);
  const sizes = context.constant(1);
  const total = dim(data.shape, axis);
  expectDim(context.inputs[1]?.shape[0], context.outputCount, 'number of sizes');
  if (sizes && typeof total === 'number')
    expectDim(
      sizes.reduce((sum, size) => sum + size, 0),
      total,
      `sum of the sizes along axis ${axis}`,
    );
  const withAxis = (size: Dim | null): readonly (Dim | null)[] => data.shape.map((other, index) => (index === axis ? size : other));
  return Array.from({ length: context.outputCount }, (_, part) => ({ type: data.type, shape: withAxis(sizes?.[part] ?? null) }));
}

const split: OpSchema = {
  op: 'Split',
  domain: '',
  inputs: ['data', 'sizes'],
  outputs: ['part...'],
  attributes: { axis: optional('int') },
  infer: splitOutputs,
};

function concatShape(shapes: readonly Shape[], axis: number): readonly (Dim | null)[] {
  const [first = []] = shapes;
  for (const shape of shapes)
    for (const [index, size] of shape.entries()) if (index !== axis) expectDim(size, first[index], `axis ${index} of a part`);
  return first.map((size, index) => {
    if (index !== axis) return size;
    const sizes = shapes.map((shape) => shape[axis]);
    const known = sizes.filter((part) => typeof part === 'number');
    return known.length === sizes.length ? known.reduce((sum, part) => sum + part, 0) : null;
  });
}

const concat: OpSchema = {
  op: 'Concat',
  domain: '',
  inputs: ['part...'],
  outputs: ['whole'],
  attributes: { axis: required('int') },
  infer: (context) => {
    const first = input(context, 0);
    const shapes = context.inputs.map((_, index) => input(context, index, first.type).shape);
    return [
      { type: first.type, shape: concatShape(shapes, normaliseAxis(intAttribute(context.attributes, 'axis', 0), first.shape.length)) },
    ];
  },
};

/** 0 keeps the dimension of the data, -1 is what remains. */
function reshapedDim(shape: Shape, size: number, axis: number): Dim | null {
  if (size === -1) return null;
  return size === 0 ? dim(shape, axis) : size;
}

const reshape: OpSchema = {
  op: 'Reshape',
  domain: '',
  inputs: ['data', 'shape'],
  outputs: ['reshaped'],
  attributes: {},
  infer: (context) => {
    const data = input(context, 0);
    const target = context.constant(1);
    if (!target) throw new Error('input 1 is computed, expected a constant shape');
    if (target.filter((size) => size === -1).length > 1)
      throw new Error(`shape [${target.join(', ')}] leaves more than one dimension open`);
    return [{ type: data.type, shape: target.map((size, axis) => reshapedDim(data.shape, size, axis)) }];
  },
};

/** Their axes are an attribute up to opset 17. */
function extreme(op: 'ReduceMax' | 'ReduceMin'): OpSchema {
  return {
    op,
    domain: '',
    inputs: ['data'],
    outputs: ['extreme'],
    attributes: { axes: required('ints'), keepdims: optional('int') },
    infer: (context) => {
      const data = input(context, 0, 'float32');
      const { axes } = context.attributes;
      const reduced = axes?.kind === 'ints' ? axes.value.map((axis) => normaliseAxis(axis, data.shape.length)) : [];
      return [{ type: data.type, shape: reducedShape(data.shape, reduced, intAttribute(context.attributes, 'keepdims', 1) === 1) }];
    },
  };
}

const reduceSum: OpSchema = {
  op: 'ReduceSum',
  domain: '',
  inputs: ['data', 'axes'],
  outputs: ['sum'],
  attributes: { keepdims: optional('int') },
  infer: (context) => {
    const data = input(context, 0, 'float32');
    const axes = context.constant(1)?.map((axis) => normaliseAxis(axis, data.shape.length));
    if (!axes) throw new Error('input 1 is computed, expected constant axes');
    return [{ type: data.type, shape: reducedShape(data.shape, axes, intAttribute(context.attributes, 'keepdims', 1) === 1) }];
  },
};

function reducedShape(shape: Shape, axes: readonly number[], keepDims: boolean): Shape {
  const reduced = keepDims ? [1] : [];
  return shape.flatMap((size, axis) => (axes.includes(axis) ? reduced : [size]));
}

/** round(x / scale) + zero point, saturated to uint8; one scale for all. */
const quantizeLinear: OpSchema = {
  op: 'QuantizeLinear',
  domain: '',
  inputs: ['x', 'scale', 'zero'],
  outputs: ['q'],
  attributes: {},
  infer: (context) => {
    expectRank(input(context, 1, 'float32'), 0, 'scale');
    const zero = input(context, 2, 'uint8', 'int8');
    expectRank(zero, 0, 'zero point');
    return [{ type: zero.type, shape: input(context, 0, 'float32').shape }];
  },
};

/** The same with scale and zero point from the smallest and the largest value of all x, 0 among them. */
const dynamicQuantizeLinear: OpSchema = {
  op: 'DynamicQuantizeLinear',
  domain: '',
  inputs: ['x'],
  outputs: ['q', 'scale', 'zero'],
  attributes: {},
  infer: (context) => [
    { type: 'uint8', shape: input(context, 0, 'float32').shape },
    { type: 'float32', shape: [] },
    { type: 'uint8', shape: [] },
  ],
};

const simplifiedLayerNormalization: OpSchema = {
  op: 'SimplifiedLayerNormalization',
  domain: '',
  inputs: ['x', 'scale'],
  outputs: ['y', 'inv_std?'],
  attributes: { epsilon: required('float'), axis: required('int') },
  infer: (context) => {
    const x = input(context, 0, 'float32');
    const scale = input(context, 1, 'float32');
    expectRank(scale, 1, 'scale');
    expectDim(scale.shape[0], dim(x.shape, -1), 'length of the scale');
    return [x, { type: 'float32', shape: [...x.shape.slice(0, -1), 1] }];
  },
};

export const standardOps: readonly OpSchema[] = [
  elementwise('Add'),
  concat,
  elementwise('Div'),
  gather,
  gatherNd,
  matMul,
  elementwise('Max'),
  elementwise('Mul'),
  unary('Neg'),
  elementwise('Sub'),
  quantizeLinear,
  dynamicQuantizeLinear,
  extreme('ReduceMax'),
  extreme('ReduceMin'),
  reduceSum,
  reshape,
  unary('Round'),
  unary('Sigmoid'),
  simplifiedLayerNormalization,
  split,
];
