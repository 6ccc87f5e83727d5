// Side paths over levels: where a projection multiplies in integers, its side path reads the same levels of x, and A in int8 with a scale for each
// column. A quarter of the bytes, and x is not read again. Here is what a pass needs for it, and the graph that makes such an A.
import { Graph, type Node, type ProjectionSite, type Value } from '../ir/graph.ts';
import { hadamard } from '../ir/hadamard.ts';
import { type BlockSize, constant, type ConstantValues, type RowLevels, type WeightRecipe } from '../ir/recipe.ts';
import { input, replaceNode, soleUser } from '../ir/rewrite.ts';
import { emitLargest } from '../ops/emit-largest.ts';
import { type CallParts, emitParts, ofRows, wholeOf } from '../ops/call-parts.ts';
import { type Emitter, emitterAfter, emitterAtEnd, scopeOf } from '../ops/emitter.ts';
import { dim, fixedDim } from '../ops/shapes.ts';
import { loraGroupId, loraInput, type SideLevels } from './lora-group.ts';

/** Pairs of products with levels of x, up to 255, stay within 16 bits where they must. */
const LARGEST_LEVEL: Readonly<Record<RowLevels, number>> = { full: 127, paired: 64 };
/** Stands in for the largest value of a column of zeros, so that its levels are 0 / this. */
const TINY = 1e-30;

/** x = (levels - zero) * step * scale. */
export interface XLevels {
  readonly levels: Value;
  readonly step: Value;
  readonly zero: Value;
  /** [.., 1]; null: 1. */
  readonly scale: Value | null;
}

/** Makes the side path of a projection read these levels of x, and its input A int8. null: the graph has no side path there. */
export function quantiseSide(graph: Graph, site: ProjectionSite, x: XLevels, rotation: BlockSize | null): SideLevels | null {
  const id = loraGroupId(site);
  const a = graph.value(loraInput(id, 'a'));
  const node = a && soleUser(graph, a);
  if (!a || !node) return null;
  const smoothing = smoothingOf(graph, node);
  const scales = loraInput(id, 'scales');
  const rowsA = graph.value(ofRows(a.name));
  const rowsNode = rowsA && soleUser(graph, rowsA);
  if (rowsA && rowsNode) {
    const { rows, chunk } = partsOf(graph, node, x);
    replaceProduct(graph, rowsNode, { a: rowsA, scales: ofRows(scales), x: rows });
    replaceProduct(graph, node, { a, scales, x: chunk });
  } else replaceProduct(graph, node, { a, scales, x });
  return { id, scales, inFeatures: fixedDim(a.shape, 1, `size of ${a.name}`), smoothing, rotation };
}

/** The product x A over levels of both, behind `node`, which it replaces. */
function replaceProduct(
  graph: Graph,
  node: Node,
  { a, scales: name, x }: { readonly a: Value; readonly scales: string; readonly x: XLevels },
): void {
  graph.retypeInput(a, 'int8');
  const scales = graph.addInput(name, 'float32', [dim(a.shape, 0), 1, dim(a.shape, 2)]);
  const emitter = emitterAfter(graph, node, scopeOf(node));
  const product = emitter.emit('MatMulIntegerToFloat', [x.levels, a, x.step, scales, x.zero], {}, { name: 'a_levels' });
  replaceNode(graph, node, [x.scale ? emitter.emit('Mul', [product, x.scale], {}, { name: 'a_scaled' }) : product]);
}

/** Levels of the rows and of the chunk, in front of the first product that reads them. */
function partsOf(graph: Graph, first: Node, { levels, scale, ...x }: XLevels): { readonly rows: XLevels; readonly chunk: XLevels } {
  const emitter = emitterAfter(graph, graph.producer(levels) ?? null, `${scopeOf(first)}/levels`);
  const ofLevels = emitParts(emitter, levels);
  const ofScale = scale && emitParts(emitter.scope('scale'), scale);
  const part = (name: keyof CallParts): XLevels => ({ ...x, levels: ofLevels[name], scale: ofScale && ofScale[name] });
  return { rows: part('rows'), chunk: part('chunk') };
}

/** The factors by which the side path's own x was multiplied again, if it was. */
function smoothingOf(graph: Graph, side: Node): WeightRecipe | null {
  const restored = graph.producer(wholeOf(graph, input(side)));
  const factors = restored?.op === 'Mul' && restored.inputs[1] ? graph.recipe(restored.inputs[1]) : undefined;
  return factors ?? null;
}

/** Rows of A that are turned together; without turning all of them. */
export function sideBlockSize({ rotation, inFeatures }: SideLevels): number {
  return rotation ?? inFeatures;
}

/**
 * For each group: input `<id>` float32 [lanes, inFeatures / block, block, R], A as adapters have it; outputs `<id>.levels` int8, of the same shape, and
 * `<id>.scales` float32 [lanes, 1, 1, R]. R may be 0.
 */
export function sideLevelsGraph(groups: readonly SideLevels[], kind: RowLevels): Graph {
  const graph = new Graph('side-levels');
  for (const group of groups) emitLevels(emitterAtEnd(graph, group.id), group, LARGEST_LEVEL[kind]);
  return graph;
}

function emitLevels(emitter: Emitter, group: SideLevels, largestLevel: number): void {
  const { graph } = emitter;
  const block = sideBlockSize(group);
  const blocks = group.inFeatures / block;
  const known = (values: ConstantValues, shape: readonly number[] = []): Value => graph.initializer(constant(values, shape));
  const a = graph.addInput(group.id, 'float32', ['lanes', blocks, block, `${group.id}.rank`]);
  const smooth = group.smoothing ? emitter.emit('Mul', [a, graph.initializer(group.smoothing, [blocks, block, 1])]) : a;
  const turned = group.rotation ? emitter.emit('MatMul', [known(hadamard(block), [block, block]), smooth], {}, { name: 'turned' }) : smooth;
  const ofColumn = emitLargest(emitter, turned, [1, 2]);
  const largest = emitter.emit('Max', [ofColumn, known(Float32Array.of(TINY))], {}, { name: 'divisor' });
  const ofLargest = emitter.emit('Div', [turned, largest], {}, { name: 'of_largest' });
  const step = known(Float32Array.of(1 / largestLevel));
  const levels = emitter.emit('QuantizeLinear', [ofLargest, step, known(Int8Array.of(0))]);
  graph.addOutput(levels, `${group.id}.levels`);
  graph.addOutput(emitter.emit('Mul', [largest, step]), `${group.id}.scales`);
}
