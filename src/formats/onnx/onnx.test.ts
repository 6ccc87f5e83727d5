import fc from 'fast-check';
import onnxProto from 'onnx-proto';
import { describe, expect, it } from 'vitest';
import { isAppError } from '../../core/index.ts';
import { decodeOnnxModel } from './decode.ts';
import { encodeOnnxModel } from './encode.ts';
import type { OnnxAttribute, OnnxInitializer, OnnxModel, OnnxNode, OnnxValue } from './model.ts';

const { onnx } = onnxProto;

function modelWith(graph: Partial<OnnxModel['graph']>): OnnxModel {
  return {
    irVersion: 8,
    producerName: 'test',
    opsets: [
      { domain: '', version: 17 },
      { domain: 'com.microsoft', version: 1 },
    ],
    graph: { name: 'g', inputs: [], outputs: [], values: [], initializers: [], nodes: [], ...graph },
  };
}

const dims = fc.array(fc.oneof(fc.nat(100), fc.stringMatching(/^[a-z]{1,5}$/)), { maxLength: 4 });
const value: fc.Arbitrary<OnnxValue> = fc.record({
  name: fc.stringMatching(/^[a-z./]{1,9}$/),
  type: fc.constantFrom('float32', 'int64', 'int32', 'uint8', 'bool'),
  dims,
});
const attribute: fc.Arbitrary<OnnxAttribute> = fc.oneof(
  fc.record({ name: fc.constant('a'), kind: fc.constant('int' as const), value: fc.maxSafeInteger() }),
  fc.record({ name: fc.constant('a'), kind: fc.constant('float' as const), value: fc.float({ noNaN: true }) }),
  fc.record({ name: fc.constant('a'), kind: fc.constant('string' as const), value: fc.string() }),
  fc.record({ name: fc.constant('a'), kind: fc.constant('ints' as const), value: fc.array(fc.maxSafeInteger(), { maxLength: 3 }) }),
);
const node: fc.Arbitrary<OnnxNode> = fc.record({
  op: fc.stringMatching(/^[A-Z][a-z]{1,6}$/),
  domain: fc.constantFrom('', 'com.microsoft'),
  name: fc.string({ maxLength: 9 }),
  inputs: fc.array(fc.string({ maxLength: 4 }), { maxLength: 3 }),
  outputs: fc.array(fc.string({ maxLength: 4 }), { maxLength: 3 }),
  attributes: fc.array(attribute, { maxLength: 1 }),
});
const initializer: fc.Arbitrary<OnnxInitializer> = fc.record({
  name: fc.stringMatching(/^[a-z./]{1,9}$/),
  type: fc.constant('uint8' as const),
  dims: fc.constant([4]),
  data: fc.oneof(
    fc.record({ kind: fc.constant('inline' as const), bytes: fc.uint8Array({ minLength: 4, maxLength: 4 }) }),
    fc.record({
      kind: fc.constant('external' as const),
      location: fc.constant('weights.bin'),
      offset: fc.maxSafeInteger().map(Math.abs),
      length: fc.constant(4),
    }),
  ),
});

describe('an ONNX model', () => {
  it('comes back from its bytes as it was', () => {
    const model = fc.record({
      inputs: fc.uniqueArray(value, { selector: ({ name }) => name, maxLength: 3 }),
      outputs: fc.uniqueArray(value, { selector: ({ name }) => name, maxLength: 3 }),
      values: fc.uniqueArray(value, { selector: ({ name }) => name, maxLength: 3 }),
      initializers: fc.uniqueArray(initializer, { selector: ({ name }) => name, maxLength: 3 }),
      nodes: fc.array(node, { maxLength: 3 }),
    });
    fc.assert(
      fc.property(model, (graph) => {
        expect(decodeOnnxModel(encodeOnnxModel(modelWith(graph)))).toEqual(modelWith(graph));
      }),
      { seed: 3, numRuns: 200 },
    );
  });

  it('is refused, never crashed on, whatever byte is damaged or missing', () => {
    const bytes = encodeOnnxModel(
      modelWith({
        nodes: [{ op: 'Add', domain: '', name: 'n', inputs: ['a'], outputs: ['b'], attributes: [{ name: 'axis', kind: 'int', value: 1 }] }],
        inputs: [{ name: 'a', type: 'float32', dims: ['t', 3] }],
      }),
    );
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), fc.boolean(), (position, byte, cut) => {
        const damaged = cut ? bytes.slice(0, position) : bytes.with(position, byte);
        expect(['read', 'refused']).toContain(outcome(damaged));
      }),
      { seed: 5, numRuns: 2000 },
    );
  });
});

function outcome(bytes: Uint8Array): 'read' | 'refused' | 'crashed' {
  try {
    decodeOnnxModel(bytes);
    return 'read';
  } catch (error) {
    return isAppError(error) && error.code === 'invalid_request' ? 'refused' : 'crashed';
  }
}

describe('decodeOnnxModel refuses', () => {
  const tensor = (fields: Parameters<typeof onnx.TensorProto.encode>[0]) =>
    onnx.ModelProto.encode({ graph: { initializer: [{ name: 'w', dims: [2], dataType: 1, ...fields }] } }).finish();
  const external = (entries: Readonly<Record<string, string>>) =>
    tensor({ dataLocation: 1, externalData: Object.entries(entries).map(([key, text]) => ({ key, value: text })) });
  const place = { location: 'weights.bin', offset: '0', length: '8' };
  const cases: readonly (readonly [string, Uint8Array, RegExp])[] = [
    ['bytes that are no protobuf', Uint8Array.of(0xff, 0xff, 0xff), /not a protobuf message/],
    ['a model without graph', onnx.ModelProto.encode({ irVersion: 8 }).finish(), /has no graph/],
    ['raw data of the wrong length', tensor({ rawData: new Uint8Array(7) }), /"w" with 7 bytes of raw data, expected 8/],
    ['a type that is not supported', tensor({ dataType: 10, rawData: new Uint8Array(4) }), /element type 10/],
    ['a negative dimension', tensor({ dims: [-1] }), /dimension of -1/],
    ['too many dimensions', tensor({ dims: Array.from({ length: 9 }, () => 1) }), /9 dimensions, expected at most 8/],
    ['external data outside of the folder', external({ ...place, location: '../secret' }), /"..\/secret", expected a path below/],
    ['external data at an absolute path', external({ ...place, location: '/etc/passwd' }), /expected a path below/],
    ['external data at a negative offset', external({ ...place, offset: '-8' }), /external offset "-8"/],
    ['external data of the wrong length', external({ ...place, length: '9' }), /9 bytes of external data, expected 8/],
    [
      'two initializers of one name',
      onnx.ModelProto.encode({ graph: { initializer: [0, 1].map(() => ({ name: 'w', dims: [0], dataType: 1 })) } }).finish(),
      /two of initializer "w"/,
    ],
    [
      'a value without shape',
      onnx.ModelProto.encode({ graph: { input: [{ name: 'x', type: { tensorType: { elemType: 1 } } }] } }).finish(),
      /"x" without a tensor type and shape/,
    ],
    [
      'an attribute that holds a graph',
      onnx.ModelProto.encode({ graph: { node: [{ opType: 'If', name: 'n', attribute: [{ name: 'then', type: 5, g: {} }] }] } }).finish(),
      /attribute "then" of node "n" with type 5/,
    ],
  ];
  it.each(cases)('%s', (_, bytes, message) => {
    expect(() => decodeOnnxModel(bytes)).toThrow(message);
  });
});
