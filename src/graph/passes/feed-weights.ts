// Weights that are read transposed become inputs. ONNX Runtime keeps a packed copy of each constant weight of a product, one for each way to read it:
// the forward pass is to have its copy, the backward pass reads the weights as they lie in the file.
import type { Graph, Value } from '../ir/graph.ts';
import { recipeKey } from '../ir/recipe.ts';
import type { StoredWeight } from '../serde.ts';

/** Changes the weights of FusedMatMul, which are [N, K] where MatMul has [K, N]; answers what must be bound, under the inputs' names. */
export function feedWeights(graph: Graph): readonly StoredWeight[] {
  const fed = new Map<Value, StoredWeight>();
  for (const node of graph.nodes) {
    const weight = node.op === 'FusedMatMul' ? node.inputs[1] : null;
    const recipe = weight && graph.recipe(weight);
    if (!weight || !recipe) continue;
    const name = `fed.${weight.name}`;
    const shape = weight.shape.map(Number);
    const input = graph.value(name) ?? graph.addInput(name, weight.type, shape);
    fed.set(input, { name, key: recipeKey(recipe), recipe, type: weight.type, shape });
    graph.replaceUses(weight, input, [{ node, index: 1 }]);
    if (graph.uses(weight).length === 0) graph.removeInitializer(weight);
  }
  return [...fed.values()];
}
