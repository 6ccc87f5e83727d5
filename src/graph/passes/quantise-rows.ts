// Projections multiply in integers: W int8 with a scale for each output channel, x uint8 with a scale for each row of activations. Never a
// scale over several rows, which belong to different tenants.
import type { Graph, Node, Value } from '../ir/graph.ts';
import { constant, rotated, type RotationSize, type RowLevels, rowQuantised, someRows, type WeightRecipe } from '../ir/recipe.ts';
import { input, output, projectionWeight, replaceNode, soleUser, splitIntoParts } from '../ir/rewrite.ts';
import { emitLargest } from '../ops/emit-largest.ts';
import { emitRotation } from '../ops/emit-rotation.ts';
import { type Emitter, emitterAfter, scopeOf } from '../ops/emitter.ts';
import type { SideLevels } from './lora-group.ts';
import type { Pass } from './pass.ts';
import { hasSide, quantiseSide } from './side-levels.ts';

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

export interface RowProduct {
  readonly products: RowProducts;
  /**
   * Values that are turned together by a Hadamard matrix before they are rounded, x in the graph and W beforehand: (x H)(H W) = x W. An outlier
   * then takes a little from the levels of its whole block instead of nearly all from those of the row (QuaRot, Ashkboos et al. 2024). null: none.
   */
  readonly rotation: RotationSize | null;
  /** Size of the largest value that a level stands for, the same for all rows; larger ones are cut off. null: each row has its own largest one. */
  readonly range: number | null;
}

/** By projection group: those that are not named stay as they are. Side paths over 8 bits of x read them as well. */
export function quantiseRows(wanted: ReadonlyMap<string, RowProduct>, levels: RowLevels): Pass {
  return {
    name: 'quantise-rows',
    run(graph) {
      const counts = { single: 0, double: 0 };
      const sideLevels: SideLevels[] = [];
      for (const node of graph.nodes.slice()) {
        const how = node.site && node.site.kind !== 'embedding' && wanted.get(node.site.group);
        const weight = how && projectionWeight(graph, node);
        if (!how || !weight) continue;
        const side = quantise(graph, node, { weight, levels, ...how });
        if (side) sideLevels.push(side);
        counts[how.products === 1 ? 'single' : 'double']++;
      }
      return { modified: counts.single + counts.double > 0, counts, sideLevels };
    },
  };
}

interface RowWeight extends RowProduct {
  /** [N, K] */
  readonly weight: WeightRecipe;
  readonly levels: RowLevels;
}

function quantise(graph: Graph, node: Node, weight: RowWeight): SideLevels | null {
  const float = input(node, 1);
  const emitter = emitterAfter(graph, node, scopeOf(node));
  const split = splitIntoParts(graph, node);
  const sum = split ? undefined : soleUser(graph, output(node));
  const rows = emitRows(emitter, input(node), weight);
  if (split) quantiseParts(emitter, node, split, rows, weight);
  else replaceNode(graph, node, [emitProduct(emitter, rows, weight, node.site)]);
  if (graph.uses(float).length === 0) graph.removeInitializer(float);
  const [levels, ...finer] = rows.digits;
  if (!node.site || !levels || finer.length > 0) return null;
  const x = { ...levels, scale: rows.scale };
  const scaledTogether = rows.scale !== null && sum !== undefined && hasSide(graph, node.site) && scaleBehind(graph, sum);
  return quantiseSide(graph, node.site, scaledTogether ? { ...x, scale: null } : x, weight.rotation);
}

/**
 * x A B has the same scale for each row as x W: where both are simply added, one product with the scale behind the sum does for both. Answers whether it
 * does now.
 */
function scaleBehind(graph: Graph, sum: Node): boolean {
  const scaled = sum.op === 'Add' ? graph.producer(input(sum, 0)) : undefined;
  if (scaled?.op !== 'Mul' || graph.uses(output(scaled)).length !== 1) return false;
  const emitter = emitterAfter(graph, sum, scopeOf(scaled));
  const together = emitter.emit('Add', [input(scaled, 0), input(sum, 1)], {}, { name: 'with_side' });
  const site = scaled.site && { site: scaled.site };
  replaceNode(graph, sum, [emitter.emit('Mul', [together, input(scaled, 1)], {}, { name: 'scaled_sum', ...site })]);
  graph.removeNode(scaled);
  return true;
}

/** One product a part over the same levels, instead of a pass that copies the parts out of one product. */
function quantiseParts(emitter: Emitter, node: Node, split: Node, rows: RowsInIntegers, weight: RowWeight): void {
  const { graph } = emitter;
  const { site } = node;
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

/** One product whose range, float32 [1], is known at run time alone (`null`: each row's own), and max |x| of each row. For calibration. */
export function emitTriedProduct(
  emitter: Emitter,
  node: Node,
  { range, ...weight }: Pick<RowWeight, 'weight' | 'levels' | 'rotation'> & { readonly range: Value | null },
): { readonly product: Value; readonly largest: Value } {
  const x = emitRotation(emitter, input(node), weight.rotation);
  const largest = largestOf(emitter, x);
  const rows = emitScaledRows(emitter, x, range ?? largest, 1);
  return { product: emitProduct(emitter, rows, { ...weight, products: 1, range: null }, node.site), largest };
}

/** Rows of activations in integers: x = (sum of (levels - zero) * step) * scale. A row of zeros has the scale 0. */
interface RowsInIntegers {
  /** [.., 1]; null: 1. */
  readonly scale: Value | null;
  readonly digits: readonly Digit[];
}

interface Digit {
  readonly levels: Value;
  readonly step: Value;
  readonly zero: Value;
}

function emitRows(emitter: Emitter, plain: Value, { products, rotation, range }: RowProduct): RowsInIntegers {
  const x = emitRotation(emitter, plain, rotation);
  if (range !== null) return { scale: null, digits: [emitDigit(emitter, x, range / LARGEST_LEVEL, 'levels')] };
  return products === 1 && isOneRow(x) ? emitOnlyRow(emitter, x) : emitScaledRows(emitter, x, largestOf(emitter, x), products);
}

function isOneRow({ shape }: Value): boolean {
  return shape.slice(0, -1).every((size) => size === 1);
}

/** The range of a tensor is that of its only row: one node instead of six, and none behind the product. */
function emitOnlyRow(emitter: Emitter, x: Value): RowsInIntegers {
  const [levels, step, zero] = emitter.emitAll('DynamicQuantizeLinear', [x], {}, { wanted: [true, true, true], name: 'levels' });
  if (!levels || !step || !zero) throw new Error('a row that is quantised lost an output');
  return { scale: null, digits: [{ levels, step, zero }] };
}

/** `largest` is what the last level stands for, [.., 1]. */
function emitScaledRows(emitter: Emitter, x: Value, largest: Value, products: RowProducts): RowsInIntegers {
  // One digit does without a node for the size of its step: x / largest is in steps of 1/127.
  if (products === 1)
    return {
      scale: largest,
      digits: [emitDigit(emitter, emitter.emit('Div', [x, largest], {}, { name: 'of_largest' }), 1 / LARGEST_LEVEL, 'levels')],
    };
  const { graph } = emitter;
  const scale = emitter.emit('Mul', [largest, graph.initializer(constant(Float32Array.of(1 / LARGEST_LEVEL)))], {}, { name: 'scale' });
  const inSteps = emitter.emit('Div', [x, scale]);
  const coarse = emitDigit(emitter, inSteps, 1, 'levels');
  const rest = emitter.emit('Sub', [inSteps, emitter.emit('Round', [inSteps])], {}, { name: 'rest' });
  return { scale, digits: [coarse, emitDigit(emitter, rest, FINE_STEP, 'fine_levels')] };
}

function emitDigit(emitter: Emitter, values: Value, size: number, name: string): Digit {
  const step = emitter.graph.initializer(constant(Float32Array.of(size), []));
  const zero = zeroLevel(emitter.graph);
  return { levels: emitter.emit('QuantizeLinear', [values, step, zero], {}, { name }), step, zero };
}

/** max |x| of each row. Counted from the front: over no tokens at all, ONNX Runtime keeps the width of an axis that is counted from the end. */
function largestOf(emitter: Emitter, x: Value): Value {
  return emitLargest(emitter, x, [x.shape.length - 1]);
}

function zeroLevel(graph: Graph): Value {
  return graph.initializer(constant(Uint8Array.of(ZERO), []));
}

function emitProduct(emitter: Emitter, { scale, digits }: RowsInIntegers, weight: RowWeight, site: Node['site']): Value {
  const [coarse, fine] = digits.map((digit, index) =>
    emitter.emit(
      'MatMulIntegerToFloat',
      multiplied(emitter.graph, weight, digit),
      {},
      { name: index === 0 ? 'product' : 'fine_product', ...(scale === null && site && { site }) },
    ),
  );
  if (!coarse) throw new Error('rows of activations have no digits');
  if (scale === null) return coarse;
  const sum = fine ? emitter.emit('Add', [coarse, fine]) : coarse;
  return emitter.emit('Mul', [sum, scale], {}, { name: 'scaled', ...(site && { site }) });
}

function multiplied(graph: Graph, { weight, levels: kind, rotation }: RowWeight, { levels, step, zero }: Digit): readonly Value[] {
  const read = rotation === null ? weight : rotated(weight, rotation);
  const part = (name: 'data' | 'scales' | 'zeros'): Value => graph.initializer(rowQuantised(read, kind, name));
  return [levels, part('data'), step, part('scales'), zero, ...(kind === 'full' ? [part('zeros')] : [])];
}
