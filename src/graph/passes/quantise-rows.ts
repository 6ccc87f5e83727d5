// Projections multiply in integers: W int8 with a scale for each output channel, x uint8 with a scale for each row of activations. Never a
// scale over several rows, which belong to different tenants.
import { ints, int } from '../ir/attributes.ts';
import type { Graph, Node, Value } from '../ir/graph.ts';
import { constant, type RowLevels, rowQuantised, someRows, type WeightRecipe } from '../ir/recipe.ts';
import { input, projectionWeight, replaceNode, splitIntoParts } from '../ir/rewrite.ts';
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
  const emitter = emitterAfter(graph, node, scopeOf(node));
  const split = splitIntoParts(graph, node);
  if (split) quantiseParts(emitter, node, split, weight);
  else replaceNode(graph, node, [emitRowProduct(emitter, node, weight)]);
  if (graph.uses(float).length === 0) graph.removeInitializer(float);
}

/** One product a part over the same levels, instead of a pass that copies the parts out of one product. */
function quantiseParts(emitter: Emitter, node: Node, split: Node, weight: RowWeight): void {
  const { graph } = emitter;
  const { site } = node;
  const rows = emitRows(emitter, input(node), weight.products);
  const sizes = input(split, 1);
  let start = 0;
  const products = (site?.parts ?? []).map((part, index) => {
    const own = { ...weight, weight: someRows(weight.weight, start, part.outFeatures) };
    start += part.outFeatures;
    return emitProduct(emitter.scope(`part${index}`), rows, own, site && { ...site, parts: [part] });
  });
  replaceNode(graph, split, products);
  graph.removeNode(node);
  if (graph.uses(sizes).length === 0) graph.removeInitializer(sizes);
}

/** The projection's product from integers, with its site. */
export function emitRowProduct(emitter: Emitter, node: Node, weight: RowWeight): Value {
  return emitProduct(emitter, emitRows(emitter, input(node), weight.products), weight, node.site);
}

/** Rows of activations in integers: x = (sum of (levels - 128) * step) * scale. A row of zeros has the scale 0. */
interface RowsInIntegers {
  /** [.., 1] */
  readonly scale: Value;
  readonly digits: readonly { readonly levels: Value; readonly step: Value }[];
}

function emitRows(emitter: Emitter, x: Value, products: RowProducts): RowsInIntegers {
  const { graph } = emitter;
  const scale = emitter.emit(
    'Mul',
    [largestOf(emitter, x), graph.initializer(constant(Float32Array.of(1 / LARGEST_LEVEL)))],
    {},
    { name: 'scale' },
  );
  const inSteps = emitter.emit('Div', [x, scale]);
  const digit = (values: Value, size: number, name: string): RowsInIntegers['digits'][number] => {
    const step = graph.initializer(constant(Float32Array.of(size), []));
    return { levels: emitter.emit('QuantizeLinear', [values, step, zeroLevel(graph)], {}, { name }), step };
  };
  const coarse = digit(inSteps, 1, 'levels');
  if (products === 1) return { scale, digits: [coarse] };
  const rest = emitter.emit('Sub', [inSteps, emitter.emit('Round', [inSteps])], {}, { name: 'rest' });
  return { scale, digits: [coarse, digit(rest, FINE_STEP, 'fine_levels')] };
}

/** max |x| of each row: reading x twice costs a third of writing |x|, for long calls. */
function largestOf(emitter: Emitter, x: Value): Value {
  // Counted from the front: over no tokens at all, ONNX Runtime keeps the width of an axis that is counted from the end.
  const overRow = { axes: ints([x.shape.length - 1]), keepdims: int(1) };
  const lowest = emitter.emit('ReduceMin', [x], overRow, { name: 'lowest' });
  return emitter.emit(
    'Max',
    [emitter.emit('ReduceMax', [x], overRow, { name: 'highest' }), emitter.emit('Neg', [lowest])],
    {},
    { name: 'largest' },
  );
}

function zeroLevel(graph: Graph): Value {
  return graph.initializer(constant(Uint8Array.of(ZERO), []));
}

function emitProduct(emitter: Emitter, { scale, digits }: RowsInIntegers, weight: RowWeight, site: Node['site']): Value {
  const [coarse, fine] = digits.map(({ levels, step }, index) =>
    emitter.emit(
      'MatMulIntegerToFloat',
      multiplied(emitter.graph, weight, levels, step),
      {},
      { name: index === 0 ? 'product' : 'fine_product' },
    ),
  );
  if (!coarse) throw new Error('rows of activations have no digits');
  const sum = fine ? emitter.emit('Add', [coarse, fine]) : coarse;
  return emitter.emit('Mul', [sum, scale], {}, { name: 'scaled', ...(site && { site }) });
}

function multiplied(graph: Graph, { weight, levels: kind }: RowWeight, levels: Value, step: Value): readonly Value[] {
  const part = (name: 'data' | 'scales' | 'zeros'): Value => graph.initializer(rowQuantised(weight, kind, name));
  return [levels, part('data'), step, part('scales'), zeroLevel(graph), ...(kind === 'full' ? [part('zeros')] : [])];
}
