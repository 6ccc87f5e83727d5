// Protobuf bytes → records. Takes hostile bytes: what is not exactly the supported part of the format is refused by name.
import onnxProto from 'onnx-proto';
import { AppError } from '../../core/index.ts';
import { ATTRIBUTE_CODES, elementTypeOf, EXTERNAL } from './codes.ts';
import {
  ONNX_ELEMENT_BYTES,
  type OnnxAttribute,
  type OnnxElementType,
  type OnnxExternalData,
  type OnnxInitializer,
  type OnnxModel,
  type OnnxNode,
  type OnnxValue,
} from './model.ts';

const { onnx } = onnxProto;

/** A graph without its weights is far smaller; more is no graph of ours. */
const MAX_ONNX_BYTES = 256 * 1024 * 1024;
const MAX_DIMS = 8;

type Message<Name extends 'NodeProto' | 'AttributeProto' | 'TensorProto' | 'ValueInfoProto' | 'GraphProto' | 'ModelProto'> = InstanceType<
  (typeof onnx)[Name]
>;

/** @throws AppError `invalid_request` for bytes that are no model, or one that uses what is not supported. */
export function decodeOnnxModel(bytes: Uint8Array): OnnxModel {
  if (bytes.length > MAX_ONNX_BYTES) refuse(`is ${bytes.length} bytes, expected at most ${MAX_ONNX_BYTES}`);
  const message = decodeMessage(bytes);
  if (!message.graph) refuse('has no graph');
  const graph = message.graph as Message<'GraphProto'>;
  if ((graph.sparseInitializer ?? []).length > 0) refuse('has sparse initializers');
  if (message.functions.length > 0) refuse('has functions');
  const initializers = graph.initializer.map((tensor) => decodeInitializer(tensor as Message<'TensorProto'>));
  requireUnique('initializer', initializers);
  return {
    irVersion: integer(message.irVersion, 'IR version'),
    producerName: message.producerName,
    opsets: message.opsetImport.map(({ domain, version }) => ({ domain: domain ?? '', version: integer(version, 'opset version') })),
    graph: {
      name: graph.name,
      inputs: decodeValues('input', graph.input),
      outputs: decodeValues('output', graph.output),
      values: decodeValues('value', graph.valueInfo),
      initializers,
      nodes: graph.node.map((node) => decodeNode(node as Message<'NodeProto'>)),
    },
  };
}

function refuse(problem: string): never {
  throw new AppError('invalid_request', `ONNX model ${problem}`);
}

function decodeMessage(bytes: Uint8Array): Message<'ModelProto'> {
  try {
    return onnx.ModelProto.decode(bytes);
  } catch (cause) {
    throw new AppError('invalid_request', 'ONNX model is not a protobuf message of type ModelProto', { cause });
  }
}

function requireUnique(what: string, named: readonly { readonly name: string }[]): void {
  const seen = new Set<string>();
  for (const { name } of named) {
    if (name === '') refuse(`has an ${what} without a name`);
    if (seen.has(name)) refuse(`has two of ${what} "${name}"`);
    seen.add(name);
  }
}

interface Long {
  toNumber(): number;
}

function isLong(value: unknown): value is Long {
  return typeof value === 'object' && value !== null && 'toNumber' in value;
}

/** protobufjs gives 64-bit integers as Long objects. */
function integer(value: unknown, what: string): number {
  const number = isLong(value) ? value.toNumber() : Number(value);
  if (!Number.isSafeInteger(number)) refuse(`has the ${what} ${number}, expected an integer below 2^53`);
  return number;
}

function elementType(code: unknown, what: string): OnnxElementType {
  const type = elementTypeOf(integer(code, 'element type'));
  if (!type) refuse(`has ${what} of element type ${String(code)}, expected float32, uint8, int32, int64 or bool`);
  return type;
}

function decodeValues(what: string, messages: readonly object[]): readonly OnnxValue[] {
  const values = messages.map((message) => decodeValue(message as Message<'ValueInfoProto'>));
  requireUnique(what, values);
  return values;
}

function decodeValue({ name, type }: Message<'ValueInfoProto'>): OnnxValue {
  const tensor = type?.tensorType;
  if (!tensor?.shape) refuse(`has value "${name}" without a tensor type and shape`);
  const dims = (tensor.shape.dim ?? []).map((dim) => {
    if (dim.dimParam) return dim.dimParam;
    if (dim.dimValue === undefined || dim.dimValue === null)
      refuse(`has value "${name}" with a dimension that is neither a number nor a name`);
    return dimension(dim.dimValue, name);
  });
  checkRank(dims, name);
  return { name, type: elementType(tensor.elemType, `value "${name}"`), dims };
}

function dimension(value: unknown, name: string): number {
  const size = integer(value, `dimension of "${name}"`);
  if (size < 0) refuse(`has "${name}" with a dimension of ${size}`);
  return size;
}

function checkRank(dims: readonly unknown[], name: string): void {
  if (dims.length > MAX_DIMS) refuse(`has "${name}" with ${dims.length} dimensions, expected at most ${MAX_DIMS}`);
}

function decodeNode(node: Message<'NodeProto'>): OnnxNode {
  if (node.opType === '') refuse(`has node "${node.name}" without an operator`);
  const attributes = node.attribute.map((attribute) => decodeAttribute(attribute as Message<'AttributeProto'>, node.name));
  requireUnique(`attribute of node ${node.name}`, attributes);
  return { op: node.opType, domain: node.domain, name: node.name, inputs: node.input, outputs: node.output, attributes };
}

function decodeAttribute(attribute: Message<'AttributeProto'>, node: string): OnnxAttribute {
  const { name } = attribute;
  switch (Number(attribute.type)) {
    case ATTRIBUTE_CODES.int:
      return { name, kind: 'int', value: integer(attribute.i, `attribute "${name}"`) };
    case ATTRIBUTE_CODES.float:
      return { name, kind: 'float', value: attribute.f };
    case ATTRIBUTE_CODES.string:
      return { name, kind: 'string', value: new TextDecoder().decode(attribute.s) };
    case ATTRIBUTE_CODES.ints:
      return { name, kind: 'ints', value: attribute.ints.map((value) => integer(value, `attribute "${name}"`)) };
    default:
      return refuse(
        `has attribute "${name}" of node "${node}" with type ${String(attribute.type)}, expected an int, float, string or ints`,
      );
  }
}

function decodeInitializer(tensor: Message<'TensorProto'>): OnnxInitializer {
  const { name } = tensor;
  const type = elementType(tensor.dataType, `initializer "${name}"`);
  const dims = tensor.dims.map((value) => dimension(value, name));
  checkRank(dims, name);
  const expected = dims.reduce((product, size) => product * size, ONNX_ELEMENT_BYTES[type]);
  const external = Number(tensor.dataLocation) === EXTERNAL;
  const data = external ? decodeExternal(tensor) : ({ kind: 'inline', bytes: plainView(tensor.rawData) } as const);
  const length = data.kind === 'external' ? data.length : data.bytes.length;
  if (length !== expected)
    refuse(`has initializer "${name}" with ${length} bytes of ${external ? 'external' : 'raw'} data, expected ${expected}`);
  return { name, type, dims, data };
}

/** protobufjs cuts Buffers out of the input. */
function plainView({ buffer, byteOffset, byteLength }: Uint8Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function decodeExternal({ name, externalData }: Message<'TensorProto'>): OnnxExternalData {
  const entries = new Map<string, string>();
  for (const { key, value } of externalData) {
    if (entries.has(key ?? '')) refuse(`has initializer "${name}" with two external ${key}`);
    entries.set(key ?? '', value ?? '');
  }
  const count = (key: string): number => {
    const text = entries.get(key) ?? '';
    if (!/^\d{1,16}$/.test(text)) refuse(`has initializer "${name}" with the external ${key} "${text}", expected a count of bytes`);
    return integer(text, `external ${key} of "${name}"`);
  };
  const location = entries.get('location') ?? '';
  if (location === '' || location.startsWith('/') || location.includes('\\') || location.split('/').includes('..')) {
    refuse(`has initializer "${name}" at the external location "${location}", expected a path below the model's folder`);
  }
  return { kind: 'external', location, offset: count('offset'), length: count('length') };
}
