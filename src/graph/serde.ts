// Graph ↔ ONNX records. The only file of this room that knows the ONNX format.
import type {
  OnnxAttribute,
  OnnxElementType,
  OnnxExternalData,
  OnnxInitializer,
  OnnxModel,
  OnnxNode,
  OnnxValue,
} from '../formats/onnx/index.ts';
import type { Attribute } from './ir/attributes.ts';
import { Graph, type Node, type Value } from './ir/graph.ts';
import { constantBytes, recipeKey, type WeightRecipe } from './ir/recipe.ts';
import { ELEMENT_BYTES, elementCount, type ElementType, formatType } from './ir/tensor-type.ts';

const IR_VERSION = 8;
const OPSETS = [
  { domain: '', version: 17 },
  { domain: 'com.microsoft', version: 1 },
] as const;

/** Constants up to this size stay inside the model, where ONNX Runtime reads shapes and sizes from them. */
const INLINE_BYTES = 1024;

/** Where the bytes of a recipe lie, by recipe key. */
export type WeightLocator = (key: string) => Omit<OnnxExternalData, 'kind'>;

/** An initializer whose bytes lie outside of the model. Two of them may have one key: one stored weight, read in two shapes. */
export interface StoredWeight {
  readonly name: string;
  readonly key: string;
  readonly recipe: WeightRecipe;
  readonly type: ElementType;
  readonly shape: readonly number[];
}

/** Every initializer whose bytes the weights file must hold, in the order of the graph. */
export function storedWeights(graph: Graph): readonly StoredWeight[] {
  return [...graph.initializers].flatMap(([value, recipe]) =>
    isInline(recipe) ? [] : [{ name: value.name, key: recipeKey(recipe), recipe, type: value.type, shape: fixedShape(value) }],
  );
}

/** @throws Error when `locate` does not know a weight, or knows it with another length. */
export function toOnnx(graph: Graph, locate: WeightLocator): OnnxModel {
  const graphValues = new Set([...graph.inputs, ...graph.outputs]);
  const between = graph.nodes.flatMap((node) => node.outputs.filter((value) => value !== null)).filter((value) => !graphValues.has(value));
  return {
    irVersion: IR_VERSION,
    producerName: 'lorikeet',
    opsets: OPSETS,
    graph: {
      name: graph.name,
      inputs: graph.inputs.map(toOnnxValue),
      outputs: graph.outputs.map(toOnnxValue),
      values: between.map(toOnnxValue),
      initializers: [...graph.initializers].map(([value, recipe]) => toOnnxInitializer(value, recipe, locate)),
      nodes: graph.nodes.map(toOnnxNode),
    },
  };
}

/**
 * A graph from records that `toOnnx` made; `recipe` gives the recipe of a stored weight by its initializer's name.
 * Site marks are compile-time only and do not come back.
 */
export function fromOnnx(model: OnnxModel, recipe: (name: string) => WeightRecipe): Graph {
  const { graph: stored } = model;
  const graph = new Graph(stored.name);
  const values = new Map<string, Value>();
  const types = new Map([...stored.values, ...stored.outputs].map((value) => [value.name, value]));
  for (const { name, type, dims } of stored.inputs) values.set(name, graph.addInput(name, toElementType(type), dims));
  for (const { name, type, dims, data } of stored.initializers) {
    const value = graph.initializer(data.kind === 'external' ? recipe(name) : inlineRecipe(toElementType(type), dims, data.bytes), dims);
    if (value.name !== name) throw new Error(`initializer ${name} has a recipe that is named ${value.name}`);
    values.set(name, value);
  }
  const known = (name: string, node: OnnxNode): Value => {
    const value = values.get(name);
    if (!value) throw new Error(`node ${node.name} uses ${name}, which nothing makes`);
    return value;
  };
  for (const node of stored.nodes) {
    const outputs = node.outputs.map((name) => {
      if (name === '') return null;
      const type = types.get(name);
      if (!type) throw new Error(`value ${name} has no type`);
      return { name, type: toElementType(type.type), shape: type.dims };
    });
    const inputs = node.inputs.map((name) => (name === '' ? null : known(name, node)));
    const attributes = Object.fromEntries(node.attributes.map(({ name, ...attribute }): [string, Attribute] => [name, attribute]));
    const added = graph.addNode({ op: node.op, domain: toDomain(node.domain), name: node.name, inputs, attributes }, outputs);
    for (const output of added.outputs) if (output) values.set(output.name, output);
  }
  for (const { name } of stored.outputs) {
    const value = values.get(name);
    if (!value) throw new Error(`output ${name} is never made`);
    graph.addOutput(value, name);
  }
  return graph;
}

/** float64 is for numerics beside the compiler; no graph of ours has it. */
function toElementType(type: OnnxElementType): ElementType {
  if (type === 'float64') throw new Error('a graph of the compiler has no float64');
  return type;
}

function isInline(recipe: WeightRecipe): boolean {
  return recipe.kind === 'values' && recipe.values.byteLength <= INLINE_BYTES;
}

function fixedShape(value: Value): readonly number[] {
  return value.shape.map((dim) => {
    if (typeof dim !== 'number') throw new Error(`initializer ${value.name} is ${formatType(value)}, expected fixed dimensions`);
    return dim;
  });
}

function toOnnxValue({ name, type, shape }: Value): OnnxValue {
  return { name, type, dims: shape };
}

function toOnnxNode({ op, domain, name, inputs, outputs, attributes }: Node): OnnxNode {
  return {
    op,
    domain,
    name,
    inputs: inputs.map((value) => value?.name ?? ''),
    outputs: outputs.map((value) => value?.name ?? ''),
    attributes: Object.entries(attributes).map(([attributeName, attribute]): OnnxAttribute => ({ name: attributeName, ...attribute })),
  };
}

function toOnnxInitializer(value: Value, recipe: WeightRecipe, locate: WeightLocator): OnnxInitializer {
  const head = { name: value.name, type: value.type, dims: fixedShape(value) };
  if (recipe.kind === 'values' && isInline(recipe)) return { ...head, data: { kind: 'inline', bytes: constantBytes(recipe.values) } };
  const place = locate(recipeKey(recipe));
  const byteLength = elementCount(head.dims) * ELEMENT_BYTES[value.type];
  if (place.length !== byteLength)
    throw new Error(`weight ${recipeKey(recipe)} is stored in ${place.length} bytes, expected ${byteLength}`);
  return { ...head, data: { kind: 'external', location: place.location, offset: place.offset, length: place.length } };
}

function toDomain(domain: string): Node['domain'] {
  if (domain === '' || domain === 'com.microsoft') return domain;
  throw new Error(`operator domain "${domain}" is not known`);
}

/** Aligned copy, because the bytes are a view into the protobuf. */
function inlineRecipe(type: ElementType, shape: readonly number[], bytes: Uint8Array): WeightRecipe {
  const { buffer } = Uint8Array.from(bytes);
  switch (type) {
    case 'float32':
      return { kind: 'values', shape, values: new Float32Array(buffer) };
    case 'int64':
      return { kind: 'values', shape, values: new BigInt64Array(buffer) };
    case 'int32':
      return { kind: 'values', shape, values: new Int32Array(buffer) };
    case 'uint8':
      return { kind: 'values', shape, values: new Uint8Array(buffer) };
    case 'int8':
      return { kind: 'values', shape, values: new Int8Array(buffer) };
    case 'bool':
      throw new Error(`constants of type ${type} are not supported`);
  }
}
