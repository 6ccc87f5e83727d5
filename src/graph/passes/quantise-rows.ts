// Projections multiply in integers: W int8 with a scale for each output channel, x uint8 with a scale for each row of activations. Never a
// scale over several rows, which belong to different tenants.
import { ints, int } from '../ir/attributes.ts';
import type { Graph, Node, Value } from '../ir/graph.ts';
import { constant, type RowLevels, rowQuantised, type WeightRecipe } from '../ir/recipe.ts';
import { input, projectionWeight, replaceNode } from '../ir/rewrite.ts';
import { type Emitter, emitterAfter, scopeOf } from '../ops/emitter.ts';
import type { Pass } from './pass.ts';

/** Kernels without VNNI take x as unsigned; 0 is in the middle. */
const ZERO = 128;
const LARGEST_LEVEL = 127;
/** Levels of one half step: what rounding x leaves, at most 1/2, in 127 levels. */
const FINE_STEP = 1 / 254;

/**
 * Products for one projection. 1: x in 8 bits. 2: what these 8 bits leave is multiplied as well, in 8 bits of its own, so x has 15 and outliers
 * cost no accuracy; the second product finds the weights in the processor's cache.
 */
export type RowProducts = 1 | 2;

/** `products` by projection group: those that are not named stay as they are. */
export function quantiseRows(products: ReadonlyMap<string, RowProducts>, levels: RowLevels): Pass {
  return {
    name: 'quantise-rows',
    run(graph) {
      const counts = { single: 0, double: 0 };
      for (const node of graph.nodes.slice()) {
        const count = node.site && node.site.kind !== 'embedding' && products.get(node.site.group);
        const weight = count && projectionWeight(graph, node);
        if (!count || !weight) continue;
        quantise(graph, node, { weight, levels, products: count });
        counts[count === 1 ? 'single' : 'double']++;
      }
      return { modified: counts.single + counts.double > 0, counts };
    },
  };
}

interface RowWeight {
  /** [N, K] */
  readonly weight: WeightRecipe;
  readonly levels: RowLevels;
  readonly products: RowProducts;
}

function quantise(graph: Graph, node: Node, weight: RowWeight): void {
  const float = input(node, 1);
  replaceNode(graph, node, [emitRowProduct(emitterAfter(graph, node, scopeOf(node)), node, weight)]);
  if (graph.uses(float).length === 0) graph.removeInitializer(float);
}

/** The projection's product from integers, with its site. x = (levels - 128) * scale + rest; a row of zeros has the scale 0. */
export function emitRowProduct(emitter: Emitter, { inputs: [x], site }: Node, weight: RowWeight): Value {
  const { graph } = emitter;
  if (!x) throw new Error('a projection has lost its input');
  const scalar = (value: number): Value => graph.initializer(constant(Float32Array.of(value), []));
  const zero = graph.initializer(constant(Uint8Array.of(ZERO), []));
  // Counted from the front: over no tokens at all, ONNX Runtime keeps the width of an axis that is counted from the end.
  const last = x.shape.length - 1;
  const largest = emitter.emit('ReduceMax', [emitter.emit('Abs', [x])], { axes: ints([last]), keepdims: int(1) }, { name: 'largest' });
  const scale = emitter.emit('Mul', [largest, graph.initializer(constant(Float32Array.of(1 / LARGEST_LEVEL)))], {}, { name: 'scale' });
  const inSteps = emitter.emit('Div', [x, scale]);
  const product = (values: Value, step: Value, name: string): Value => {
    const levels = emitter.emit('QuantizeLinear', [values, step, zero], {}, { name: `${name}levels` });
    return emitter.emit('MatMulIntegerToFloat', multiplied(graph, weight, levels, step, zero), {}, { name: `${name}product` });
  };
  const coarse = product(inSteps, scalar(1), '');
  const sum = weight.products === 1 ? coarse : emitter.emit('Add', [coarse, product(rest(emitter, inSteps), scalar(FINE_STEP), 'fine_')]);
  return emitter.emit('Mul', [sum, scale], {}, { name: 'scaled', ...(site && { site }) });
}

function rest(emitter: Emitter, inSteps: Value): Value {
  return emitter.emit('Sub', [inSteps, emitter.emit('Round', [inSteps])], {}, { name: 'rest' });
}

function multiplied(graph: Graph, { weight, levels: kind }: RowWeight, levels: Value, step: Value, zero: Value): readonly Value[] {
  const part = (name: 'data' | 'scales' | 'zeros'): Value => graph.initializer(rowQuantised(weight, kind, name));
  return [levels, part('data'), step, part('scales'), zero, ...(kind === 'full' ? [part('zeros')] : [])];
}
