// Projections multiply in integers: W int8 with a scale for each output channel, x uint8 with a scale for each row of activations. Never a
// scale over several rows, which belong to different tenants.
import { ints, int } from '../ir/attributes.ts';
import type { Graph, Node, Value } from '../ir/graph.ts';
import { constant, rowQuantised, type WeightRecipe } from '../ir/recipe.ts';
import { input, projectionWeight, replaceNode } from '../ir/rewrite.ts';
import { type Emitter, emitterAfter, scopeOf } from '../ops/emitter.ts';
import type { Pass } from './pass.ts';

/** Kernels without VNNI take x as unsigned; 0 is in the middle. */
const ZERO = 128;
const LARGEST_LEVEL = 127;

/** Those of the named groups. */
export function quantiseRows(groups: ReadonlySet<string>): Pass {
  return {
    name: 'quantise-rows',
    run(graph) {
      let quantised = 0;
      for (const node of graph.nodes.slice()) {
        const weight = node.site && groups.has(node.site.group) && projectionWeight(graph, node);
        if (!weight) continue;
        quantise(graph, node, weight);
        quantised++;
      }
      return { modified: quantised > 0, counts: { quantised } };
    },
  };
}

function quantise(graph: Graph, node: Node, weight: WeightRecipe): void {
  const float = input(node, 1);
  replaceNode(graph, node, [emitRowProduct(emitterAfter(graph, node, scopeOf(node)), node, weight)]);
  if (graph.uses(float).length === 0) graph.removeInitializer(float);
}

/** The projection's product from integers, with its site; `weight` is [N, K]. */
export function emitRowProduct(emitter: Emitter, { inputs: [x], site }: Node, weight: WeightRecipe): Value {
  const { graph } = emitter;
  if (!x) throw new Error('a projection has lost its input');
  const [one, zero] = [graph.initializer(constant(Float32Array.of(1), [])), graph.initializer(constant(Uint8Array.of(ZERO), []))];
  const { levels, scale } = emitLevels(emitter, x, one, zero);
  const [data, scales] = [graph.initializer(rowQuantised(weight, 'data')), graph.initializer(rowQuantised(weight, 'scales'))];
  const products = emitter.emit('MatMulIntegerToFloat', [levels, data, one, scales, zero]);
  return emitter.emit('Mul', [products, scale], {}, { name: 'scaled', ...(site && { site }) });
}

/** x [rows, tokens, K] → `levels` uint8 of that shape, `scale` [rows, tokens, 1]; x = (levels - 128) * scale. A row of zeros has the scale 0. */
function emitLevels(emitter: Emitter, x: Value, one: Value, zero: Value): { readonly levels: Value; readonly scale: Value } {
  const { graph } = emitter;
  const largest = emitter.emit('ReduceMax', [emitter.emit('Abs', [x])], { axes: ints([-1]), keepdims: int(1) }, { name: 'largest' });
  const scale = emitter.emit('Mul', [largest, graph.initializer(constant(Float32Array.of(1 / LARGEST_LEVEL)))], {}, { name: 'scale' });
  const levels = emitter.emit('QuantizeLinear', [emitter.emit('Div', [x, scale]), one, zero], {}, { name: 'levels' });
  return { levels, scale };
}
