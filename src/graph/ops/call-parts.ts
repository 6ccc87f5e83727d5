// Mixed calls: consecutive tokens of one row, the chunk, and behind which stand, in the same tensors [1, tokens, n], one token each of some more rows. What reads
// the memory of a row, its cache and its adapter, is computed for the two parts apart.
import { int } from '../ir/attributes.ts';
import type { Graph, Value } from '../ir/graph.ts';
import { constant } from '../ir/recipe.ts';
import type { Dim, Shape } from '../ir/tensor-type.ts';
import type { Emitter } from './emitter.ts';
import { dim } from './shapes.ts';

/** Inputs and outputs of the rows are called like those of the chunk, behind this. */
const ROWS_PREFIX = 'rows.';
const SIZES_PREFIX = 'parts.';

/** Makes a graph over [1, `tokens`, ..] one for mixed calls: adds its input int64 [2], how many of the `tokens` belong to the rows, which come first, and to the chunk. */
export function addPartSizes(graph: Graph, tokens: string): void {
  graph.addInput(`${SIZES_PREFIX}${tokens}`, 'int64', [2]);
}

export function isMixed(graph: Graph): boolean {
  return graph.inputs.some(({ name }) => name.startsWith(SIZES_PREFIX));
}

export function ofRows(name: string): string {
  return `${ROWS_PREFIX}${name}`;
}

/** The input of the rows beside one of the chunk, [1, ..]: the same for `rows` of them. Made on first use. */
export function rowsInput(graph: Graph, { name, type, shape: [, ...others] }: Value): Value {
  const shape = ['rows', ...others.map((size) => (typeof size === 'string' ? ofRows(size) : size))];
  return graph.value(ofRows(name)) ?? graph.addInput(ofRows(name), type, shape);
}

export interface CallParts {
  /** [rows, 1, n] */
  readonly rows: Value;
  /** [1, tokens of the chunk, n] */
  readonly chunk: Value;
}

/** The two parts of x, [1, tokens, n]. */
export function emitParts(emitter: Emitter, x: Value): CallParts {
  const width = dim(x.shape, 2);
  const parts = [1, 2].map((part): Shape => [1, part === 1 ? 'rows' : `chunk.${dim(x.shape, 1)}`, width]);
  const [rows, chunk] = emitter.emitAll(
    'Split',
    [x, sizesOf(emitter.graph, x)],
    { axis: int(1) },
    { name: 'parts', wanted: [true, true], shapes: parts },
  );
  if (!rows || !chunk) throw new Error(`${x.name} lost a part`);
  return { rows: emitReshape(emitter, rows, [-1, 1, 0], ['rows', 1, width], 'rows'), chunk };
}

/** What `emitParts` took the chunk out of; any other value itself. */
export function wholeOf(graph: Graph, chunk: Value): Value {
  const split = graph.producer(chunk);
  const isPart = split?.op === 'Split' && split.inputs[1]?.name.startsWith(SIZES_PREFIX);
  return (isPart && split.inputs[0]) || chunk;
}

/** [1, tokens, n] of its two parts; `like` has the same tokens. */
export function emitWhole(emitter: Emitter, { rows, chunk }: CallParts, like: Value): Value {
  const width = dim(rows.shape, 2);
  const flat = emitReshape(emitter, rows, [1, -1, 0], [1, 'rows', width], 'flat');
  return emitter.emit('Concat', [flat, chunk], { axis: int(1) }, { name: 'whole', shapes: [[1, dim(like.shape, 1), width]] });
}

function emitReshape(emitter: Emitter, x: Value, target: readonly number[], shape: readonly Dim[], name: string): Value {
  const sizes = emitter.graph.initializer(constant(BigInt64Array.from(target, BigInt)));
  return emitter.emit('Reshape', [x, sizes], {}, { name, shapes: [shape] });
}

function sizesOf(graph: Graph, x: Value): Value {
  const sizes = graph.value(`${SIZES_PREFIX}${dim(x.shape, 1)}`);
  if (!sizes) throw new Error(`${x.name} has ${dim(x.shape, 1)} on its axis of tokens, of which the graph does not know the parts`);
  return sizes;
}
