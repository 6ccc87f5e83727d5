// The head becomes an input. ONNX Runtime keeps a packed copy of each constant weight of a product, one for each way to read it: projections are to
// have both, and their pages of the file are let go; a tied head stays in memory as it lies in the file, for it is the embedding too.
import type { Graph, Value } from '../ir/graph.ts';
import { recipeKey } from '../ir/recipe.ts';
import type { StoredWeight } from '../serde.ts';

/**
 * Changes those weights of FusedMatMul that lie as [N, K], like an embedding; projections lie as [K, N]. Answers what must be bound, under the
 * inputs' names.
 */
export function feedWeights(graph: Graph): readonly StoredWeight[] {
  const fed = new Map<Value, StoredWeight>();
  for (const node of graph.nodes) {
    const weight = node.op === 'FusedMatMul' ? node.inputs[1] : null;
    const recipe = weight && graph.recipe(weight);
    if (!weight || !recipe || recipe.kind === 'transpose') continue;
    const name = `fed.${weight.name}`;
    const shape = weight.shape.map(Number);
    const input = graph.value(name) ?? graph.addInput(name, weight.type, shape);
    fed.set(input, { name, key: recipeKey(recipe), recipe, type: weight.type, shape });
    graph.replaceUses(weight, input, [{ node, index: 1 }]);
    if (graph.uses(weight).length === 0) graph.removeInitializer(weight);
  }
  return [...fed.values()];
}
