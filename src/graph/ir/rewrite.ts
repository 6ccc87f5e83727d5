// Small steps that several passes share.
import type { Graph, Node, Value } from './graph.ts';
import { intAttribute } from './attributes.ts';
import type { WeightRecipe } from './recipe.ts';

/** Hands the uses of a node's outputs to `values` (one an output, `null` where the output is absent or unused) and removes the node. */
export function replaceNode(graph: Graph, node: Node, values: readonly (Value | null)[]): void {
  for (const [index, replaced] of node.outputs.entries()) {
    const value = values[index];
    if (replaced && value) graph.replaceUses(replaced, value);
  }
  graph.removeNode(node);
}

/** The one node that uses a value, when it has just one use and is no output of the graph. */
export function soleUser(graph: Graph, value: Value): Node | undefined {
  const [use, ...others] = graph.uses(value);
  return others.length === 0 && !graph.isOutput(value) ? use?.node : undefined;
}

/** Output `index` of a node that is known to have it. */
export function output(node: Node, index = 0): Value {
  const value = node.outputs[index];
  if (!value) throw new Error(`${node.name} has no output ${index}`);
  return value;
}

/** Input `index` of a node that is known to have it. */
export function input(node: Node, index = 0): Value {
  const value = node.inputs[index];
  if (!value) throw new Error(`${node.name} has no input ${index}`);
  return value;
}

/** The Split that alone reads a fused projection and has one output a part, in order. */
export function splitIntoParts(graph: Graph, node: Node): Node | undefined {
  const split = soleUser(graph, output(node));
  const last = output(node).shape.length - 1;
  const { parts = [] } = node.site ?? {};
  if (split?.op !== 'Split' || ![-1, last].includes(intAttribute(split.attributes, 'axis', 0))) return undefined;
  const fits =
    split.outputs.length === parts.length && parts.every(({ outFeatures }, index) => split.outputs[index]?.shape.at(-1) === outFeatures);
  return fits ? split : undefined;
}

/** Weight [out, in] of a projection's MatMul; undefined for any other node. */
export function projectionWeight(graph: Graph, node: Node): WeightRecipe | undefined {
  if (node.op !== 'MatMul' || !node.site) return undefined;
  const recipe = graph.recipe(input(node, 1));
  return recipe?.kind === 'transpose' ? recipe.of : undefined;
}
