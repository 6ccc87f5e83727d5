import { describe, expect, it } from 'vitest';
import { float, int, ints } from '../ir/attributes.ts';
import { Graph } from '../ir/graph.ts';
import { checkpoint, constant } from '../ir/recipe.ts';
import type { ElementType, Shape } from '../ir/tensor-type.ts';
import { inferOutputs } from './infer.ts';

function inference(
  op: string,
  inputs: readonly (readonly [Shape, ElementType?] | readonly number[] | null)[],
  attributes: Parameters<typeof inferOutputs>[1]['attributes'] = {},
  outputCount = 1,
) {
  const graph = new Graph('g');
  const values = inputs.map((input, index) => {
    if (input === null) return null;
    const [shape, type = 'float32'] = input;
    return Array.isArray(shape)
      ? graph.addInput(`i${index}`, type as ElementType, shape as Shape)
      : graph.initializer(constant(BigInt64Array.from(input as readonly number[], BigInt)));
  });
  return inferOutputs(graph, { op, inputs: values, attributes, outputCount }).map(({ shape }) => shape);
}

describe('inferOutputs', () => {
  it.each([
    ['MatMul', [[['b', 't', 64]], [[64, 32]]], {}, [['b', 't', 32]]],
    ['MatMul', [[['b', 't', 'r']], [['b', 'r', 32]]], {}, [['b', 't', 32]]],
    ['MatMul', [[['b', 1, 'r']], [[1, 'r', 32]]], {}, [['b', 1, 32]]],
    ['Mul', [[['b', 't', 32]], [['b', 1, 32]]], {}, [['b', 't', 32]]],
    ['Add', [[['b', 't', 32]], [[32]]], {}, [['b', 't', 32]]],
    ['Gather', [[[96, 64]], [['b', 't'], 'int64']], { axis: int(0) }, [['b', 't', 64]]],
    ['GatherND', [[['b', 't', 64]], [['b', 'p', 1], 'int64']], { batch_dims: int(1) }, [['b', 'p', 64]]],
    ['Concat', [[['b', 2]], [['b', 3]]], { axis: int(-1) }, [['b', 5]]],
    ['Reshape', [[['b', 't', 64]], [0, 0, 2, 32]], {}, [['b', 't', 2, 32]]],
    ['ReduceMax', [[['b', 't', 64]]], { axes: ints([-1]), keepdims: int(1) }, [['b', 't', 1]]],
    ['Div', [[['b', 't', 64]], [['b', 't', 1]]], {}, [['b', 't', 64]]],
    ['QuantizeLinear', [[['b', 64]], [[]], [[], 'uint8']], {}, [['b', 64]]],
    ['MatMulIntegerToFloat', [[['b', 64], 'uint8'], [[64, 4], 'int8'], [[]], [[4]], [[], 'uint8']], {}, [['b', 4]]],
    [
      'MatMulIntegerToFloat',
      [[['b', 't', 64], 'uint8'], [['b', 64, 'r'], 'int8'], [[]], [['b', 1, 'r']], [[], 'uint8']],
      {},
      [['b', 't', 'r']],
    ],
    ['ReduceSum', [[['b', 't', 2, 32]], [-1]], { keepdims: int(0) }, [['b', 't', 2]]],
  ] as const)('gives %s of %j the shape that ONNX gives it', (op, inputs, attributes, expected) => {
    expect(inference(op, inputs, attributes)).toEqual(expected);
  });

  it('leaves sizes of a Split open that are not constant', () => {
    expect(inference('Split', [[['t', 6]], [2, 4]], { axis: int(-1) }, 2)).toEqual([
      ['t', 2],
      ['t', 4],
    ]);
    expect(inference('Split', [[['t', 'r']], [[2], 'int64']], { axis: int(-1) }, 2)).toEqual([
      ['t', null],
      ['t', null],
    ]);
  });

  it.each([
    ['an operator that the table lacks', 'Conv', [[['t']]], {}, 'operator Conv is not known'],
    ['inner dimensions that differ', 'MatMul', [[['t', 64]], [[63, 2]]], {}, 'is 63, expected 64'],
    ['dimensions of different names', 'Add', [[['a']], [['b']]], {}, "don't broadcast at axis 0"],
    ['a missing input', 'MatMul', [[['t', 64]]], {}, 'MatMul: input right is missing'],
    ['an input too many', 'Sigmoid', [[['t']], [['t']]], {}, '2 inputs, expected at most 1'],
    ['an attribute that the operator has not', 'Sigmoid', [[['t']]], { alpha: float(1) }, 'has no attribute alpha'],
    ['an attribute of the wrong kind', 'Concat', [[['t']]], { axis: float(1) }, 'attribute axis is float, expected int'],
    ['a missing attribute', 'Concat', [[['t']]], {}, 'attribute axis is missing'],
    ['the wrong element type', 'Sigmoid', [[['t'], 'int64']], {}, 'input 0 is int64[t], expected float32'],
    ['a scale for each row of x', 'QuantizeLinear', [[['t', 4]], [['t']], [[], 'uint8']], {}, 'scale is float32[t], expected 0 dimensions'],
    [
      'scales of one matrix for several',
      'MatMulIntegerToFloat',
      [[['b', 't', 64], 'uint8'], [['b', 64, 4], 'int8'], [[]], [[4]], [[], 'uint8']],
      {},
      'the scales are [4], expected [b, 1, 4]',
    ],
    ['an axis outside', 'Concat', [[['t']]], { axis: int(1) }, 'axis 1 is outside of 1 dimensions'],
    ['parts of a Split that miss the total', 'Split', [[['t', 6]], [2]], { axis: int(-1) }, 'is 2, expected 6'],
    ['batch dimensions that differ', 'GatherND', [[['b', 't', 64]], [['c', 'p', 1], 'int64']], { batch_dims: int(1) }, 'is c, expected b'],
  ] as const)('refuses %s', (_, op, inputs, attributes, message) => {
    expect(() => inference(op, inputs, attributes)).toThrow(message);
  });

  it('knows packed and separate query, key and value of attention, and refuses widths that do not fit', () => {
    const attention = (query: number, key: number | null) => {
      const past = [['b', 2, 'm', 16]] as const;
      const kv = key === null ? null : ([['b', 't', key]] as const);
      return inference(
        'GroupQueryAttention',
        [[['b', 't', query]], kv, kv, past, past, [['b'], 'int32'], [[1], 'int32'], [[64, 8]], [[64, 8]]],
        { num_heads: int(4), kv_num_heads: int(2), do_rotary: int(1) },
        3,
      );
    };
    const expected = [
      ['b', 't', 64],
      ['b', 2, 'm', 16],
      ['b', 2, 'm', 16],
    ];
    expect(attention(64, 32)).toEqual(expected);
    expect(attention(128, null)).toEqual(expected);
    expect(() => attention(64, null)).toThrow('width of the query is 64, expected 128');
    expect(() => attention(64, 64)).toThrow('width of input 1 is 64, expected 32');
  });

  it('checks the layouts of quantised weights', () => {
    const graph = new Graph('g');
    const x = graph.addInput('x', 'float32', ['t', 64]);
    const weight = graph.initializer(checkpoint('w', [4, 64]));
    expect(() =>
      inferOutputs(graph, {
        op: 'MatMulNBits',
        inputs: [x, weight, weight],
        attributes: { K: int(64), N: int(4), bits: int(8), block_size: int(32) },
        outputCount: 1,
      }),
    ).toThrow('input 1 is float32[4, 64], expected uint8');
  });
});
