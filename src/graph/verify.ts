// Checks what must hold of a graph after it is built and after every pass. Reads only.
import type { Graph, Node, Value } from './ir/graph.ts';
import { recipeShape, recipeType } from './ir/recipe.ts';
import { elementCount, formatType } from './ir/tensor-type.ts';
import { inferOutputs } from './ops/infer.ts';
import { opSchema } from './ops/table.ts';

/**
 * Verifies names, order, uses, operators, types and initializers.
 * @throws Error with the first violation, naming the node or value.
 */
export function verify(graph: Graph): void {
  const defined = new Set<Value>();
  const names = new Set<string>();
  const define = (value: Value): void => {
    if (names.has(value.name)) throw new Error(`two values are named ${value.name}`);
    names.add(value.name);
    defined.add(value);
  };
  for (const value of graph.inputs) define(value);
  for (const value of graph.initializers.keys()) {
    define(value);
    verifyInitializer(graph, value);
  }
  const nodeNames = new Set<string>();
  for (const node of graph.nodes) {
    if (nodeNames.has(node.name)) throw new Error(`two nodes are named ${node.name}`);
    nodeNames.add(node.name);
    for (const input of node.inputs) if (input && !defined.has(input)) throw new Error(`${node.name} uses ${input.name} before it is made`);
    for (const output of node.outputs) if (output) define(output);
    verifyNode(graph, node);
  }
  for (const output of graph.outputs) if (!defined.has(output)) throw new Error(`output ${output.name} is never made`);
  verifyUses(graph, defined);
}

function verifyInitializer(graph: Graph, value: Value): void {
  const recipe = graph.recipe(value);
  if (!recipe) throw new Error(`initializer ${value.name} has no recipe`);
  const sizes = value.shape.filter((dim) => typeof dim === 'number');
  if (
    sizes.length !== value.shape.length ||
    elementCount(sizes) !== elementCount(recipeShape(recipe)) ||
    value.type !== recipeType(recipe)
  ) {
    throw new Error(
      `initializer ${value.name} is ${formatType(value)}, but its recipe makes ${formatType({ type: recipeType(recipe), shape: recipeShape(recipe) })}`,
    );
  }
}

function verifyNode(graph: Graph, node: Node): void {
  if (node.domain !== opSchema(node.op).domain)
    throw new Error(`${node.name} puts ${node.op} in the domain "${node.domain}", expected "${opSchema(node.op).domain}"`);
  const types = inferred(graph, node);
  for (const [index, output] of node.outputs.entries()) {
    const type = types[index];
    if (!output) continue;
    const agrees =
      type &&
      type.type === output.type &&
      type.shape.length === output.shape.length &&
      type.shape.every((dim, axis) => dim === null || dim === output.shape[axis]);
    if (!agrees)
      throw new Error(
        `${node.name} makes ${output.name} as ${formatType(output)}, but ${node.op} gives ${type ? formatType(type) : 'nothing'}`,
      );
    if (graph.producer(output) !== node) throw new Error(`${output.name} does not know its producer ${node.name}`);
  }
}

function inferred(graph: Graph, node: Node) {
  try {
    return inferOutputs(graph, { ...node, outputCount: node.outputs.length });
  } catch (error) {
    throw new Error(`${node.name}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

function verifyUses(graph: Graph, values: ReadonlySet<Value>): void {
  let useCount = 0;
  for (const value of values) {
    for (const { node, index } of graph.uses(value)) {
      useCount++;
      if (node.inputs[index] !== value)
        throw new Error(
          `${node.name} is noted as a user of ${value.name}, but its input ${index} is ${node.inputs[index]?.name ?? 'nothing'}`,
        );
    }
  }
  const inputCount = graph.nodes.reduce((count, node) => count + node.inputs.filter((input) => input !== null).length, 0);
  if (useCount !== inputCount) throw new Error(`${useCount} uses are noted for ${inputCount} inputs of nodes`);
}
