// Applies a row of the table to a node: arity, attributes, output types.
import type { Attributes } from '../ir/attributes.ts';
import type { Graph, Value } from '../ir/graph.ts';
import type { PartialTensorType } from '../ir/tensor-type.ts';
import { arity, type InferenceContext, type OpSchema, slotName } from './schema.ts';
import { opSchema } from './table.ts';

export interface Application {
  readonly op: string;
  readonly inputs: readonly (Value | null)[];
  readonly attributes: Attributes;
  readonly outputCount: number;
}

/** Types of the first `outputCount` outputs. @throws Error when operator, inputs or attributes are not what the table says. */
export function inferOutputs(graph: Graph, application: Application): readonly PartialTensorType[] {
  const { op, inputs, attributes, outputCount } = application;
  const schema = opSchema(op);
  try {
    checkSlots('input', schema.inputs, inputs);
    checkAttributes(schema, attributes);
    const { least, most } = arity(schema.outputs);
    if (outputCount < least || outputCount > most) throw new Error(`${outputCount} outputs, expected ${least} to ${most}`);
    const context: InferenceContext = { inputs, attributes, outputCount, constant: (index) => constantIntegers(graph, inputs[index]) };
    return schema.infer(context).slice(0, outputCount);
  } catch (error) {
    throw new Error(`${op}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

function checkSlots(what: string, names: readonly string[], given: readonly (Value | null)[]): void {
  const { least, most } = arity(names);
  if (given.length > most) throw new Error(`${given.length} ${what}s, expected at most ${most}`);
  for (let index = 0; index < Math.max(least, given.length); index++) {
    const mayMiss = names[index]?.endsWith('?') ?? false;
    if (!given[index] && !mayMiss && (index < names.length || given.length > index))
      throw new Error(`${what} ${slotName(names, index)} is missing`);
  }
}

function checkAttributes(schema: OpSchema, attributes: Attributes): void {
  for (const [name, attribute] of Object.entries(attributes)) {
    const expected = schema.attributes[name];
    if (!expected) throw new Error(`has no attribute ${name}; it has ${Object.keys(schema.attributes).join(', ') || 'none'}`);
    if (attribute.kind !== expected.kind) throw new Error(`attribute ${name} is ${attribute.kind}, expected ${expected.kind}`);
  }
  for (const [name, { required }] of Object.entries(schema.attributes)) {
    if (required && !Object.hasOwn(attributes, name)) throw new Error(`attribute ${name} is missing`);
  }
}

function constantIntegers(graph: Graph, value: Value | null | undefined): readonly number[] | null {
  const recipe = value && graph.recipe(value);
  if (recipe?.kind !== 'values' || recipe.values instanceof Float32Array) return null;
  return Array.from(recipe.values, Number);
}
