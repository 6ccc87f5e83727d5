// Text form of a graph, for people and for snapshots in tests. Reads only.
import type { Attribute } from './ir/attributes.ts';
import type { Graph, Node, Value } from './ir/graph.ts';
import { formatType } from './ir/tensor-type.ts';

/** One line for the inputs, one a node, one for the outputs. Initializers appear where they are used, as `@name`. */
export function printGraph(graph: Graph): string {
  const lines = [
    `graph ${graph.name}(`,
    ...graph.inputs.map((value) => `  ${typed(value)}`),
    ') {',
    ...graph.nodes.map((node) => `  ${printNode(graph, node)}`),
    `  return ${graph.outputs.map((value) => `%${value.name}`).join(', ')}`,
    '}',
  ];
  return lines.join('\n');
}

function printNode(graph: Graph, node: Node): string {
  const outputs = node.outputs.map((value) => (value ? typed(value) : '_')).join(', ');
  const inputs = node.inputs.map((value) => (value ? reference(graph, value) : '_')).join(', ');
  const attributes = Object.entries(node.attributes).map(([name, attribute]) => `${name}=${printAttribute(attribute)}`);
  return `${outputs} = ${node.op}(${inputs})${attributes.length > 0 ? ` {${attributes.join(', ')}}` : ''}`;
}

function typed(value: Value): string {
  return `%${value.name}: ${formatType(value)}`;
}

function reference(graph: Graph, value: Value): string {
  const recipe = graph.recipe(value);
  if (recipe?.kind === 'values' && recipe.values.length <= 8) return `[${recipe.values.join(', ')}]`;
  return recipe ? `@${value.name}` : `%${value.name}`;
}

function printAttribute(attribute: Attribute): string {
  switch (attribute.kind) {
    case 'int':
      return String(attribute.value);
    case 'float':
      return Number.isInteger(attribute.value) ? attribute.value.toFixed(1) : String(attribute.value);
    case 'string':
      return JSON.stringify(attribute.value);
    case 'ints':
      return `[${attribute.value.join(', ')}]`;
  }
}
