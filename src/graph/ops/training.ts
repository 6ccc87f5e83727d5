// Operators that training graphs need beside those of serving, at opset 17 and in ONNX Runtime's own domain.
import { type Attributes, intAttribute } from '../ir/attributes.ts';
import type { Dim, ElementType } from '../ir/tensor-type.ts';
import { type InferenceContext, type OpSchema, optional, required } from './schema.ts';
import { broadcast, dim, expectDim, expectRank, input, matMulShape, normaliseAxis } from './shapes.ts';

/** ONNX's TensorProto.DataType of what Cast makes here. */
export const CAST_TO_FLOAT32 = 1;

/** alpha * op(left) op(right), where op exchanges the two last axes if asked. */
const fusedMatMul: OpSchema = {
  op: 'FusedMatMul',
  domain: 'com.microsoft',
  inputs: ['left', 'right'],
  outputs: ['product'],
  attributes: { alpha: optional('float'), transA: optional('int'), transB: optional('int') },
  infer: (context) => {
    const [left, right] = [operand(context, 0, 'transA'), operand(context, 1, 'transB')];
    return [{ type: 'float32', shape: matMulShape(left, right) }];
  },
};

function operand(context: InferenceContext, index: number, attribute: 'transA' | 'transB'): readonly Dim[] {
  const { shape } = input(context, index, 'float32');
  if (intAttribute(context.attributes, attribute, 0) === 0) return shape;
  if (shape.length < 2) throw new Error(`input ${index} has ${shape.length} dimensions, expected two or more to exchange`);
  return [...shape.slice(0, -2), dim(shape, -1), dim(shape, -2)];
}

/** alpha * op(left) op(right) + beta * addend, matrices only. */
const gemm: OpSchema = {
  op: 'Gemm',
  domain: '',
  inputs: ['left', 'right', 'addend?'],
  outputs: ['sum'],
  attributes: { alpha: optional('float'), beta: optional('float'), transA: optional('int'), transB: optional('int') },
  infer: (context) => {
    for (const index of [0, 1]) expectRank(input(context, index, 'float32'), 2, `input ${index}`);
    const shape = matMulShape(operand(context, 0, 'transA'), operand(context, 1, 'transB'));
    const addend = context.inputs[2];
    if (addend) broadcast(shape, addend.shape).forEach((size, axis) => expectDim(size, shape[axis], `axis ${axis} with the addend`));
    return [{ type: 'float32', shape }];
  },
};

/** x rotated by position; x [rows, heads, length, headSize], position_ids [1] is the first position of every row. */
const rotaryEmbedding: OpSchema = {
  op: 'RotaryEmbedding',
  domain: 'com.microsoft',
  inputs: ['x', 'position_ids', 'cos_cache', 'sin_cache'],
  outputs: ['y'],
  attributes: { interleaved: optional('int') },
  infer: (context) => {
    const x = input(context, 0, 'float32');
    expectRank(x, 4, 'x');
    expectRank(input(context, 1, 'int64'), 1, 'position_ids');
    const width = dim(x.shape, 3);
    for (const index of [2, 3])
      expectDim(input(context, index, 'float32').shape[1], typeof width === 'number' ? width / 2 : width, `width of input ${index}`);
    return [x];
  },
};

const transposeOp: OpSchema = {
  op: 'Transpose',
  domain: '',
  inputs: ['data'],
  outputs: ['transposed'],
  attributes: { perm: required('ints') },
  infer: (context) => {
    const data = input(context, 0);
    const perm = permutation(context.attributes);
    if (perm.toSorted((a, b) => a - b).some((axis, index) => axis !== index) || perm.length !== data.shape.length)
      throw new Error(`perm [${perm.join(', ')}] is no permutation of ${data.shape.length} axes`);
    return [{ type: data.type, shape: perm.map((axis) => dim(data.shape, axis)) }];
  },
};

export function permutation(attributes: Attributes): readonly number[] {
  return attributes.perm?.kind === 'ints' ? attributes.perm.value : [];
}

const softmax: OpSchema = {
  op: 'Softmax',
  domain: '',
  inputs: ['x'],
  outputs: ['y'],
  attributes: { axis: required('int') },
  infer: (context) => {
    const x = input(context, 0, 'float32');
    normaliseAxis(intAttribute(context.attributes, 'axis', -1), x.shape.length);
    return [x];
  },
};

/** log of the sum of exponentials along the last axis, which stays with size 1; without overflow. Its axes are an attribute up to opset 17. */
const reduceLogSumExp: OpSchema = {
  op: 'ReduceLogSumExp',
  domain: '',
  inputs: ['x'],
  outputs: ['y'],
  attributes: { axes: required('ints'), keepdims: required('int') },
  infer: (context) => {
    const x = input(context, 0, 'float32');
    const { axes } = context.attributes;
    if (axes?.kind !== 'ints' || axes.value.length !== 1 || normaliseAxis(axes.value[0] ?? 0, x.shape.length) !== x.shape.length - 1)
      throw new Error('expected the last axis alone');
    if (intAttribute(context.attributes, 'keepdims', 0) !== 1) throw new Error('expected keepdims 1');
    return [{ type: 'float32', shape: [...x.shape.slice(0, -1), 1] }];
  },
};

/** x with `pads` zeros: [before axis 0, …, behind axis 0, …]. */
const pad: OpSchema = {
  op: 'Pad',
  domain: '',
  inputs: ['x', 'pads'],
  outputs: ['y'],
  attributes: {},
  infer: (context) => {
    const x = input(context, 0, 'float32');
    const pads = context.constant(1);
    if (pads?.length !== 2 * x.shape.length) throw new Error(`expected ${2 * x.shape.length} constant pads`);
    const shape = x.shape.map((size, axis) => {
      const added = (pads[axis] ?? 0) + (pads[axis + x.shape.length] ?? 0);
      if (added === 0) return size;
      return typeof size === 'number' ? size + added : null;
    });
    return [{ type: 'float32', shape }];
  },
};

const shapeOp: OpSchema = {
  op: 'Shape',
  domain: '',
  inputs: ['x'],
  outputs: ['shape'],
  attributes: {},
  infer: (context) => [{ type: 'int64', shape: [input(context, 0).shape.length] }],
};

/** x broadcast to a computed shape, which the maker of the node names. */
const expand: OpSchema = {
  op: 'Expand',
  domain: '',
  inputs: ['x', 'shape'],
  outputs: ['y'],
  attributes: {},
  infer: (context) => {
    const rank = input(context, 1, 'int64').shape[0];
    if (typeof rank !== 'number') throw new Error(`the shape has ${rank ?? 'no'} dimensions, expected a number`);
    return [{ type: input(context, 0).type, shape: Array.from({ length: rank }, () => null) }];
  },
};

function unary(op: 'Log' | 'Sqrt', types: readonly ElementType[] = ['float32']): OpSchema {
  return { op, domain: '', inputs: ['x'], outputs: ['y'], attributes: {}, infer: (context) => [input(context, 0, ...types)] };
}

/** x * sigmoid(alpha x) in one pass. */
const quickGelu: OpSchema = {
  op: 'QuickGelu',
  domain: 'com.microsoft',
  inputs: ['x'],
  outputs: ['y'],
  attributes: { alpha: required('float') },
  infer: (context) => [input(context, 0, 'float32')],
};

const less: OpSchema = {
  op: 'Less',
  domain: '',
  inputs: ['left', 'right'],
  outputs: ['result'],
  attributes: {},
  infer: (context) => {
    const left = input(context, 0, 'float32', 'int32');
    return [{ type: 'bool', shape: broadcast(left.shape, input(context, 1, left.type).shape) }];
  },
};

const cast: OpSchema = {
  op: 'Cast',
  domain: '',
  inputs: ['x'],
  outputs: ['y'],
  attributes: { to: required('int') },
  infer: (context) => {
    const to = intAttribute(context.attributes, 'to', 0);
    if (to !== CAST_TO_FLOAT32) throw new Error(`to is ${to}, expected ${CAST_TO_FLOAT32}, float32`);
    return [{ type: 'float32', shape: input(context, 0, 'bool').shape }];
  },
};

/** A copy of data, with each update added to the row that it names: rows [count, width] like updates, along the first axis alone. */
const scatterElements: OpSchema = {
  op: 'ScatterElements',
  domain: '',
  inputs: ['data', 'rows', 'updates'],
  outputs: ['sums'],
  attributes: { axis: required('int'), reduction: required('string') },
  infer: (context) => {
    const [data, rows, updates] = [input(context, 0, 'float32'), input(context, 1, 'int64'), input(context, 2, 'float32')];
    if (intAttribute(context.attributes, 'axis', 0) !== 0) throw new Error('scatters along another axis than the first');
    for (const value of [data, rows, updates]) expectRank(value, 2, 'data, rows and updates');
    rows.shape.forEach((size, axis) => expectDim(updates.shape[axis], size, `axis ${axis} of the updates`));
    expectDim(rows.shape[1], data.shape[1], 'width of the rows');
    return [data];
  },
};

export const trainingOps: readonly OpSchema[] = [
  cast,
  expand,
  fusedMatMul,
  gemm,
  less,
  unary('Log'),
  pad,
  quickGelu,
  reduceLogSumExp,
  rotaryEmbedding,
  scatterElements,
  shapeOp,
  softmax,
  unary('Sqrt'),
  transposeOp,
];
