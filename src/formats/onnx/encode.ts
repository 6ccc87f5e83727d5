// Records → protobuf bytes.
import onnxProto from 'onnx-proto';
import { ATTRIBUTE_CODES, ELEMENT_CODES, EXTERNAL } from './codes.ts';
import type { OnnxAttribute, OnnxInitializer, OnnxModel, OnnxNode, OnnxValue } from './model.ts';

const { onnx } = onnxProto;

/** Bytes of an ONNX model. Deterministic: equal records give equal bytes. */
export function encodeOnnxModel(model: OnnxModel): Uint8Array {
  const { graph } = model;
  const message = {
    irVersion: model.irVersion,
    producerName: model.producerName,
    opsetImport: model.opsets.map(({ domain, version }) => ({ domain, version })),
    graph: {
      name: graph.name,
      node: graph.nodes.map(encodeNode),
      initializer: graph.initializers.map(encodeInitializer),
      input: graph.inputs.map(encodeValue),
      output: graph.outputs.map(encodeValue),
      valueInfo: graph.values.map(encodeValue),
    },
  };
  return onnx.ModelProto.encode(message).finish();
}

function encodeValue({ name, type, dims }: OnnxValue) {
  const dim = dims.map((size) => (typeof size === 'string' ? { dimParam: size } : { dimValue: size }));
  return { name, type: { tensorType: { elemType: ELEMENT_CODES[type], shape: { dim } } } };
}

function encodeNode({ op, domain, name, inputs, outputs, attributes }: OnnxNode) {
  return { opType: op, domain, name, input: [...inputs], output: [...outputs], attribute: attributes.map(encodeAttribute) };
}

function encodeAttribute(attribute: OnnxAttribute) {
  const head = { name: attribute.name, type: ATTRIBUTE_CODES[attribute.kind] };
  switch (attribute.kind) {
    case 'int':
      return { ...head, i: attribute.value };
    case 'float':
      return { ...head, f: attribute.value };
    case 'string':
      return { ...head, s: new TextEncoder().encode(attribute.value) };
    case 'ints':
      return { ...head, ints: [...attribute.value] };
  }
}

function encodeInitializer({ name, type, dims, data }: OnnxInitializer) {
  const head = { name, dataType: ELEMENT_CODES[type], dims: [...dims] };
  if (data.kind === 'inline') return { ...head, rawData: data.bytes };
  const externalData = [
    { key: 'location', value: data.location },
    { key: 'offset', value: String(data.offset) },
    { key: 'length', value: String(data.length) },
  ];
  return { ...head, dataLocation: EXTERNAL, externalData };
}
