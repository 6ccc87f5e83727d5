// Operators of ONNX Runtime's own domain, com.microsoft, as its version 1.30 takes them.
import { intAttribute } from '../ir/attributes.ts';
import { formatType, type PartialTensorType, sameShape, type Shape } from '../ir/tensor-type.ts';
import { type InferenceContext, type OpSchema, optional, required } from './schema.ts';
import { dim, expectDim, expectRank, fixedDim, input, matMulShape } from './shapes.ts';

/** y = norm(x + skip); the sum itself is the fourth output. */
const skipSimplifiedLayerNormalization: OpSchema = {
  op: 'SkipSimplifiedLayerNormalization',
  domain: 'com.microsoft',
  inputs: ['x', 'skip', 'scale', 'bias?'],
  outputs: ['y', 'mean?', 'inv_std_var?', 'sum?'],
  attributes: { epsilon: required('float') },
  infer: (context) => {
    const x = input(context, 0, 'float32');
    const skip = input(context, 1, 'float32');
    expectRank(x, 3, 'x');
    for (const axis of [0, 1, 2]) expectDim(skip.shape[axis], x.shape[axis], `axis ${axis} of skip`);
    expectDim(input(context, 2, 'float32').shape[0], dim(x.shape, 2), 'length of the scale');
    const rowStatistic: PartialTensorType = { type: 'float32', shape: [dim(x.shape, 0), dim(x.shape, 1), 1] };
    return [x, rowStatistic, rowStatistic, x];
  },
};

function groupQueryAttentionOutputs(context: InferenceContext): readonly PartialTensorType[] {
  const heads = intAttribute(context.attributes, 'num_heads', 0);
  const kvHeads = intAttribute(context.attributes, 'kv_num_heads', 0);
  if (heads < 1 || kvHeads < 1 || heads % kvHeads !== 0)
    throw new Error(`${heads} heads and ${kvHeads} key-value heads, expected a multiple`);
  const query = input(context, 0, 'float32');
  expectRank(query, 3, 'query');
  const pastKey = input(context, 3, 'float32', 'int8');
  const pastValue = input(context, 4, pastKey.type);
  const headSize = fixedDim(pastKey.shape, 3, 'head size');
  for (const past of [pastKey, pastValue]) {
    expectRank(past, 4, 'past');
    expectDim(past.shape[0], query.shape[0], 'rows of past');
    expectDim(past.shape[1], kvHeads, 'heads of past');
  }
  const packed = !context.inputs[1] && !context.inputs[2];
  expectDim(query.shape[2], (packed ? heads + 2 * kvHeads : heads) * headSize, 'width of the query');
  if (!packed)
    for (const index of [1, 2]) expectDim(input(context, index, 'float32').shape[2], kvHeads * headSize, `width of input ${index}`);
  expectRank(input(context, 5, 'int32'), 1, 'seqlens_k');
  input(context, 6, 'int32');
  if (intAttribute(context.attributes, 'do_rotary', 0) === 1)
    for (const index of [7, 8]) expectDim(input(context, index, 'float32').shape[1], headSize / 2, `width of input ${index}`);
  if (pastKey.type === 'int8')
    for (const index of [12, 13]) expectDim(input(context, index, 'float32').shape[0], kvHeads * headSize, `length of input ${index}`);
  return [{ type: 'float32', shape: [dim(query.shape, 0), dim(query.shape, 1), heads * headSize] }, pastKey, pastValue];
}

/**
 * Causal attention with rotary embedding over a shared past and present buffer [B, kvHeads, capacity, headSize], float32, or int8 with a
 * scale for each kv head and channel.
 */
const groupQueryAttention: OpSchema = {
  op: 'GroupQueryAttention',
  domain: 'com.microsoft',
  inputs: ['query', 'key?', 'value?', 'past_key', 'past_value', 'seqlens_k', 'total_sequence_length', 'cos_cache?', 'sin_cache?'].concat([
    'position_ids?',
    'attention_bias?',
    'head_sink?',
    'k_scale?',
    'v_scale?',
  ]),
  outputs: ['output', 'present_key', 'present_value'],
  attributes: {
    num_heads: required('int'),
    kv_num_heads: required('int'),
    do_rotary: optional('int'),
    rotary_interleaved: optional('int'),
    local_window_size: optional('int'),
    k_quant_type: optional('string'),
    v_quant_type: optional('string'),
    kv_cache_bit_width: optional('int'),
  },
  infer: groupQueryAttentionOutputs,
};

/** y = x W^T with W [N, K] in blocks along K. */
const matMulNBits: OpSchema = {
  op: 'MatMulNBits',
  domain: 'com.microsoft',
  inputs: ['x', 'data', 'scales', 'zeros?'],
  outputs: ['y'],
  attributes: {
    K: required('int'),
    N: required('int'),
    bits: required('int'),
    block_size: required('int'),
    accuracy_level: optional('int'),
  },
  infer: (context) => {
    const { inner, rows, bits, blockSize } = blockLayout(context);
    const x = input(context, 0, 'float32');
    const data = input(context, 1, 'uint8');
    expectDim(x.shape.at(-1), inner, 'width of x');
    expectRank(data, 3, 'data');
    const expected = [rows, inner / blockSize, (blockSize * bits) / 8];
    for (const [axis, size] of expected.entries()) expectDim(data.shape[axis], size, `axis ${axis} of data`);
    for (const perBlock of [input(context, 2, 'float32'), context.inputs[3]]) {
      if (!perBlock) continue;
      expectDim(perBlock.shape[0], rows, 'rows of the scales or zeros');
      expectDim(perBlock.shape[1], inner / blockSize, 'blocks of the scales or zeros');
    }
    return [{ type: 'float32', shape: [...x.shape.slice(0, -1), rows] }];
  },
};

function blockLayout({ attributes }: InferenceContext) {
  const inner = intAttribute(attributes, 'K', 0);
  const blockSize = intAttribute(attributes, 'block_size', 0);
  if (blockSize < 1 || inner < 1 || inner % blockSize !== 0)
    throw new Error(`K is ${inner}, expected a multiple of the block size ${blockSize}`);
  return { inner, blockSize, rows: intAttribute(attributes, 'N', 0), bits: intAttribute(attributes, 'bits', 0) };
}

/** y = (x - zero) (W - zeros) * xScale * scales with x uint8 [..., K], W int8 [..., K, N]; a scale [N] or [..., 1, N], and maybe a zero [N], for each column of W. */
const matMulIntegerToFloat: OpSchema = {
  op: 'MatMulIntegerToFloat',
  domain: 'com.microsoft',
  inputs: ['x', 'data', 'x_scale', 'scales', 'zero', 'zeros?'],
  outputs: ['y'],
  attributes: {},
  infer: (context) => {
    const data = input(context, 1, 'int8');
    expectRank(input(context, 2, 'float32'), 0, 'scale of x');
    const scales = input(context, 3, 'float32');
    expectDim(dim(scales.shape, -1), dim(data.shape, -1), 'length of the scales');
    if (data.shape.length > 2) expectBatch(scales.shape, data.shape);
    expectRank(input(context, 4, 'uint8'), 0, 'zero point');
    if (context.inputs[5]) expectDim(input(context, 5, 'int8').shape[0], dim(data.shape, -1), 'length of the zeros');
    return [{ type: 'float32', shape: matMulShape(input(context, 0, 'uint8').shape, data.shape) }];
  },
};

/** Scales of matrices are those of one row each. */
function expectBatch(scales: Shape, data: Shape): void {
  const expected = [...data.slice(0, -2), 1, dim(data, -1)];
  if (!sameShape(scales, expected)) throw new Error(`the scales are [${scales.join(', ')}], expected [${expected.join(', ')}]`);
}

/** Rows of an 8-bit table [V, H] in blocks along H, as float32. */
const gatherBlockQuantized: OpSchema = {
  op: 'GatherBlockQuantized',
  domain: 'com.microsoft',
  inputs: ['data', 'indices', 'scales', 'zeros?'],
  outputs: ['rows'],
  attributes: { bits: required('int'), block_size: required('int'), gather_axis: required('int'), quantize_axis: required('int') },
  infer: (context) => {
    const data = input(context, 0, 'uint8');
    const indices = input(context, 1, 'int64', 'int32');
    const blockSize = intAttribute(context.attributes, 'block_size', 0);
    const [bits, gatherAxis, quantizeAxis] = ['bits', 'gather_axis', 'quantize_axis'].map((name) =>
      intAttribute(context.attributes, name, 0),
    );
    if (bits !== 8 || gatherAxis !== 0 || quantizeAxis !== 1)
      throw new Error(`bits ${bits}, gather axis ${gatherAxis}, quantize axis ${quantizeAxis}; expected 8, 0 and 1`);
    expectRank(data, 2, 'data');
    for (const perBlock of [input(context, 2, 'float32'), context.inputs[3]]) {
      if (!perBlock) continue;
      expectDim(perBlock.shape[0], data.shape[0], `rows of ${formatType(perBlock)}`);
      expectDim(perBlock.shape[1], fixedDim(data.shape, 1, 'width of data') / blockSize, `blocks of ${formatType(perBlock)}`);
    }
    return [{ type: 'float32', shape: [...indices.shape, dim(data.shape, 1)] }];
  },
};

export const microsoftOps: readonly OpSchema[] = [
  gatherBlockQuantized,
  groupQueryAttention,
  matMulIntegerToFloat,
  matMulNBits,
  skipSimplifiedLayerNormalization,
];
