// Side paths over levels: where a projection multiplies in integers, its side path reads the same levels of x, and A in int8 with a scale for each
// column. A quarter of the bytes, and x is not read again. Here is what a pass needs for it, and the graph that makes such an A.
import { int } from '../ir/attributes.ts';
import { Graph, type Node, type ProjectionSite, type Value } from '../ir/graph.ts';
import { hadamard } from '../ir/hadamard.ts';
import { constant, type ConstantValues, type RotationSize, type RowLevels, type WeightRecipe } from '../ir/recipe.ts';
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

/** Whether `quantiseSide` finds a side path there. */
export function hasSide(graph: Graph, site: ProjectionSite): boolean {
  const a = graph.value(loraInput(loraGroupId(site), 'a'));
  return a !== undefined && soleUser(graph, a) !== undefined;
}

/** Makes the side path of a projection read these levels of x, and its input A int8. null: the graph has no side path there. */
export function quantiseSide(graph: Graph, site: ProjectionSite, x: XLevels, rotation: RotationSize | null): SideLevels | null {
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

/** Matrices A of one shape that are turned alike. */
export interface LevelStack {
  /** In front of the names of its inputs and outputs. */
  readonly name: string;
  readonly inFeatures: number;
  readonly blockSize: number;
  /** Ids of those that it may hold; inputs name them by their place here. */
  readonly ids: readonly string[];
}

/**
 * Makes levels of many A at once. For each stack: inputs `<name>.a` float32 [n, inFeatures / block, block, rank], A as adapters have it, and `<name>.ids` int64 [n],
 * whose they are; outputs `<name>.levels` int8, of the same shape, and `<name>.scales` float32 [n, 1, 1, rank]. n is at least 1.
 */
export function sideLevelsGraph(
  sides: readonly SideLevels[],
  kind: RowLevels,
): { readonly graph: Graph; readonly stacks: readonly LevelStack[] } {
  const graph = new Graph('side-levels');
  const byShape = new Map<string, SideLevels[]>();
  for (const side of sides) {
    const name = `${side.inFeatures}.${side.rotation ?? 'plain'}`;
    byShape.set(name, [...(byShape.get(name) ?? []), side]);
  }
  const stacks = [...byShape].map(([name, alike]) => emitStack(emitterAtEnd(graph, name), name, alike, LARGEST_LEVEL[kind]));
  return { graph, stacks };
}

function emitStack(emitter: Emitter, name: string, sides: readonly SideLevels[], largestLevel: number): LevelStack {
  const { graph } = emitter;
  const [first] = sides;
  if (!first) throw new Error(`the stack ${name} is empty`);
  const { inFeatures, rotation } = first;
  const block = sideBlockSize(first);
  const blocks = inFeatures / block;
  const known = (values: ConstantValues, shape: readonly number[] = []): Value => graph.initializer(constant(values, shape));
  const a = graph.addInput(`${name}.a`, 'float32', [`${name}.n`, blocks, block, `${name}.rank`]);
  const ids = graph.addInput(`${name}.ids`, 'int64', [`${name}.n`]);
  const factors = known(smoothingTable(sides), [sides.length, blocks, block, 1]);
  const smooth = emitter.emit(
    'Mul',
    [a, emitter.emit('Gather', [factors, ids], { axis: int(0) }, { name: 'factors' })],
    {},
    { name: 'smooth' },
  );
  const turned = rotation ? emitter.emit('MatMul', [known(hadamard(rotation), [block, block]), smooth], {}, { name: 'turned' }) : smooth;
  const ofColumn = emitLargest(emitter, turned, [1, 2]);
  const largest = emitter.emit('Max', [ofColumn, known(Float32Array.of(TINY))], {}, { name: 'divisor' });
  const ofLargest = emitter.emit('Div', [turned, largest], {}, { name: 'of_largest' });
  const step = known(Float32Array.of(1 / largestLevel));
  graph.addOutput(emitter.emit('QuantizeLinear', [ofLargest, step, known(Int8Array.of(0))]), `${name}.levels`);
  graph.addOutput(emitter.emit('Mul', [largest, step], {}, { name: 'steps' }), `${name}.scales`);
  return { name, inFeatures, blockSize: block, ids: sides.map(({ id }) => id) };
}

/** [sides, inFeatures]; 1 where an input is not smoothed. */
function smoothingTable(sides: readonly SideLevels[]): Float32Array {
  const rows = sides.map(({ id, inFeatures, smoothing }) => {
    if (smoothing === null) return new Float32Array(inFeatures).fill(1);
    if (smoothing.kind !== 'values' || !(smoothing.values instanceof Float32Array))
      throw new Error(`the smoothing of ${id} is a ${smoothing.kind}, expected float32 values`);
    return smoothing.values;
  });
  const table = new Float32Array(rows.reduce((sum, row) => sum + row.length, 0));
  let offset = 0;
  for (const row of rows) {
    table.set(row, offset);
    offset += row.length;
  }
  return table;
}
