// Divides a projection's activations by a factor for each channel and multiplies its weights by it: x W = (x / f)(f W), with outliers
// moved from where a scale spans a row to where it spans a column (SmoothQuant, Xiao et al. 2022, eq. 3).
import type { Graph, Node, Value } from '../ir/graph.ts';
import { constant, product, transpose } from '../ir/recipe.ts';
import { input, projectionWeight } from '../ir/rewrite.ts';
import { emitterAfter, scopeOf } from '../ops/emitter.ts';
import type { Pass } from './pass.ts';

/** Where the norms that can take the division keep their scale. */
const NORM_SCALE: ReadonlyMap<string, number> = new Map([
  ['SimplifiedLayerNormalization', 1],
  ['SkipSimplifiedLayerNormalization', 2],
]);

/**
 * `factors` [inFeatures] by projection group. The division goes into the norm that makes the activations, so it costs nothing; a group
 * without one is left. Side paths read the activations multiplied again, so adapters stay as they are.
 */
export function smoothInputs(factors: ReadonlyMap<string, Float32Array>): Pass {
  return {
    name: 'smooth-inputs',
    run(graph) {
      let smoothed = 0;
      for (const node of graph.nodes.slice()) {
        const factor = node.site && factors.get(node.site.group);
        const norm = factor && smoothableNorm(graph, node);
        if (!factor || !norm) continue;
        smooth(graph, node, norm, factor);
        smoothed++;
      }
      return { modified: smoothed > 0, counts: { smoothed } };
    },
  };
}

function smoothableNorm(graph: Graph, projection: Node): Node | undefined {
  const norm = projectionWeight(graph, projection) && graph.producer(input(projection));
  return norm && NORM_SCALE.has(norm.op) && norm.outputs[0] === input(projection) ? norm : undefined;
}

function smooth(graph: Graph, projection: Node, norm: Node, factor: Float32Array): void {
  const x = input(projection);
  const others = graph.uses(x).filter(({ node }) => node !== projection);
  if (others.length > 0 || graph.isOutput(x)) {
    const restored = emitterAfter(graph, norm, scopeOf(norm)).emit(
      'Mul',
      [x, graph.initializer(constant(factor))],
      {},
      { name: 'unsmoothed' },
    );
    graph.replaceUses(x, restored, others);
  }
  const weight = input(projection, 1);
  const recipe = projectionWeight(graph, projection);
  const scale = input(norm, NORM_SCALE.get(norm.op));
  const scaleRecipe = graph.recipe(scale);
  if (!recipe || !scaleRecipe) throw new Error(`${projection.name} or ${norm.name} reads a weight that is computed`);
  swapWeight(graph, projection, weight, graph.initializer(transpose(product(recipe, constant(factor)))));
  swapWeight(graph, norm, scale, graph.initializer(product(scaleRecipe, constant(factor.map((value) => 1 / value)))));
}

/** Makes one node read another initializer, and drops the old one when nobody else reads it. */
function swapWeight(graph: Graph, node: Node, from: Value, to: Value): void {
  graph.replaceUses(
    from,
    to,
    graph.uses(from).filter((use) => use.node === node),
  );
  if (graph.uses(from).length === 0) graph.removeInitializer(from);
}
