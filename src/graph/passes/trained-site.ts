// One trained site: its graph inputs and the pieces of its formula that linears, head and embedding share.
import { float, int, ints } from '../ir/attributes.ts';
import type { Graph, Node, SitePart, Value } from '../ir/graph.ts';
import { constant } from '../ir/recipe.ts';
import { input, output } from '../ir/rewrite.ts';
import type { Emitter } from '../ops/emitter.ts';
import { dim, fixedDim } from '../ops/shapes.ts';
import { CAST_TO_FLOAT32 } from '../ops/training.ts';

export interface TrainedSiteSpec {
  readonly site: string;
  readonly rank: number;
  /** s of y = Wx + s B(Ax). */
  readonly scale: number;
  readonly dora: boolean;
  /** y = Wx + s (BA - B0 A0) x */
  readonly origin: boolean;
}

/** The head at the targets: the loss reads its logits beside all others. */
export interface TrainedHeadTargets {
  /** [supervised, hidden] */
  readonly hidden: Value;
  /** int64 [supervised] */
  readonly ids: Value;
  /** [supervised, 1]: ReduceSum of the Mul of `hidden` with rows of the head. */
  readonly logits: Value;
}

/** Graph inputs of one site; those that gradients are wanted by are a (or aRows), b (and bRows), magnitude (and magnitudeRows). */
export interface SiteInputs {
  readonly spec: TrainedSiteSpec;
  readonly kind: 'linear' | 'head' | 'embedding';
  /** Embedding: size of the vocabulary. */
  readonly inFeatures: number;
  /** [rank, in]; embedding: only for DoRA's norm. */
  readonly a: Value | null;
  /** Embedding: rows of A^T that the host gathered by token id, [tokens, rank]. */
  readonly aRows: Value | null;
  /** [out, rank] */
  readonly b: Value;
  /** Head: rows of B of the targets, [supervised, rank]. */
  readonly bRows: Value | null;
  /** [out] */
  readonly magnitude: Value | null;
  /** Head: magnitudes of the targets, [supervised, 1]. */
  readonly magnitudeRows: Value | null;
  /** Squared norms of the frozen weight's rows, [out]. */
  readonly squares: Value | null;
  readonly origin: { readonly a: Value | null; readonly aRows: Value | null; readonly b: Value; readonly bRows: Value | null } | null;
  readonly dropout: DropoutInputs | null;
}

/** Masks come from integer hashes of a number for each token and one for each channel. */
export interface DropoutInputs {
  /** int32 [tokens, 1], of this site. */
  readonly rows: Value;
  /** int32 [1, in] */
  readonly columns: Value;
  /** int32 []: elements whose hash is below are dropped. */
  readonly threshold: Value;
  /** float32 []: 1 / (1 - rate). */
  readonly scale: Value;
}

interface Place {
  readonly part: number;
  readonly dropout: boolean;
}

export function addSiteInputs(graph: Graph, node: Node, spec: TrainedSiteSpec, { part, dropout }: Place): SiteInputs {
  const site = node.site?.parts[part] as SitePart;
  const kind = node.site?.kind ?? 'linear';
  const { rank, dora } = spec;
  const tokens = dim(output(node).shape, 0);
  const inFeatures = fixedDim(input(node, 0).shape, kind === 'embedding' ? 0 : 1, `width of ${spec.site}`);
  const name = (last: string): string => `train.${spec.site}.${last}`;
  const add = (last: string, shape: Value['shape']): Value => graph.addInput(name(last), 'float32', shape);
  const isHead = kind === 'head';
  const factors = (suffix: string) => ({
    a: kind !== 'embedding' || dora ? add(`a${suffix}`, [rank, inFeatures]) : null,
    aRows: kind === 'embedding' ? add(`a${suffix}.rows`, [tokens, rank]) : null,
    b: add(`b${suffix}`, [site.outFeatures, rank]),
    bRows: isHead ? add(`b${suffix}.rows`, [tokens, rank]) : null,
  });
  return {
    spec,
    kind,
    inFeatures,
    ...factors(''),
    origin: spec.origin ? factors('0') : null,
    magnitude: dora ? add('magnitude', [site.outFeatures]) : null,
    magnitudeRows: dora && isHead ? add('magnitude.rows', [tokens, 1]) : null,
    squares: dora ? add('squares', [site.outFeatures]) : null,
    dropout: dropout && kind !== 'embedding' ? addDropout(graph, name('dropout'), tokens, inFeatures) : null,
  };
}

function addDropout(graph: Graph, name: string, tokens: Value['shape'][number], inFeatures: number): DropoutInputs {
  const shared = (shared_: string, type: 'int32' | 'float32', shape: Value['shape']): Value =>
    graph.value(shared_) ?? graph.addInput(shared_, type, shape);
  return {
    rows: graph.addInput(name, 'int32', [tokens, 1]),
    columns: shared(`dropout.columns.${inFeatures}`, 'int32', [1, inFeatures]),
    threshold: shared('dropout.threshold', 'int32', []),
    scale: shared('dropout.scale', 'float32', []),
  };
}

/** Odd constant of the golden ratio, as a signed 32-bit number. */
const GOLDEN = -1_640_531_527;

/**
 * x with dropped elements 0 and the others scaled up. Keeps an element where s (s^2 + c) is not below the threshold, all in wrapping 32-bit
 * arithmetic, s being the sum of the token's and the channel's random numbers.
 */
export function dropped(emitter: Emitter, x: Value, { dropout }: SiteInputs): Value {
  if (!dropout) return x;
  const golden = emitter.graph.initializer(constant(Int32Array.of(GOLDEN), []));
  const scoped = emitter.scope('dropout');
  const seed = scoped.emit('Add', [dropout.rows, dropout.columns], {}, { name: 'seed' });
  const square = scoped.emit('Add', [scoped.emit('Mul', [seed, seed], {}, { name: 'square' }), golden], {}, { name: 'shifted' });
  const hash = scoped.emit('Mul', [square, seed], {}, { name: 'hash' });
  const kept = scoped.emit('Cast', [scoped.emit('Less', [dropout.threshold, hash])], { to: int(CAST_TO_FLOAT32) }, { name: 'kept' });
  return scoped.emit('Mul', [x, scoped.emit('Mul', [kept, dropout.scale], {}, { name: 'factor' })], {}, { name: 'dropped' });
}

/** s (BA - B0 A0) x, [tokens, out]. Equal factors give exact zeros. */
export function delta(emitter: Emitter, x: Value | null, { a, aRows, b, spec, origin }: SiteInputs): Value {
  const side = (scoped: Emitter, factors: Pick<SiteInputs, 'a' | 'aRows' | 'b'>): Value =>
    emitUp(scoped, factors.aRows ?? down(scoped, x, factors.a), factors.b, spec.scale);
  const trained = side(emitter, { a, aRows, b });
  return origin ? emitter.emit('Sub', [trained, side(emitter.scope('origin'), origin)], {}, { name: 'change' }) : trained;
}

/** x A^T */
export function down(emitter: Emitter, x: Value | null, a: Value | null): Value {
  if (!x || !a) throw new Error('a side path has no input');
  return emitter.emit('FusedMatMul', [x, a], { transB: int(1) }, { name: 'a' });
}

function emitUp(emitter: Emitter, t: Value, b: Value, scale: number): Value {
  return emitter.emit('FusedMatMul', [t, b], { transB: int(1), alpha: float(scale) }, { name: 'b' });
}

/**
 * magnitude / norm of the rows of W + s BA, [out]. The norm is made without that matrix:
 * |w|^2 + 2 s rowdot(B, W A^T) + s^2 rowdot(B (A A^T), B). `project` gives A W^T, [rank, out].
 */
export function doraGain(
  emitter: Emitter,
  { a, b, magnitude, squares, origin, spec }: SiteInputs,
  project: (a: Value) => Value,
): { readonly gain: Value; readonly norm: Value } {
  if (!a || !magnitude || !squares) throw new Error(`${spec.site} is no DoRA site`);
  const scoped = emitter.scope('norm');
  const { graph } = scoped;
  const number = (value: number): Value => graph.initializer(constant(Float32Array.of(value), []));
  const rowSums = (x: Value): Value =>
    scoped.emit('ReduceSum', [x, graph.initializer(constant(BigInt64Array.of(-1n)))], { keepdims: int(0) }, { name: 'row_sums' });
  const left = origin ? scoped.emit('Concat', [b, scoped.emit('Neg', [origin.b])], { axis: int(1) }, { name: 'b' }) : b;
  const right = origin?.a ? scoped.emit('Concat', [a, origin.a], { axis: int(0) }, { name: 'a' }) : a;
  const projected = scoped.emit('Transpose', [project(right)], { perm: ints([1, 0]) }, { name: 'projected' });
  const cross = rowSums(scoped.emit('Mul', [left, projected], {}, { name: 'cross' }));
  const inner = scoped.emit('FusedMatMul', [right, right], { transB: int(1) }, { name: 'inner' });
  const square = rowSums(scoped.emit('Mul', [scoped.emit('MatMul', [left, inner]), left], {}, { name: 'square' }));
  const change = scoped.emit('Add', [
    scoped.emit('Mul', [cross, number(2 * spec.scale)]),
    scoped.emit('Mul', [square, number(spec.scale * spec.scale)]),
  ]);
  const norm = scoped.emit('Sqrt', [scoped.emit('Add', [squares, change], {}, { name: 'squares' })], {}, { name: 'norm' });
  return { gain: scoped.emit('Div', [magnitude, norm], {}, { name: 'gain' }), norm };
}

/** The projection of other rows than the node's own: x W^T. */
export function emitProduct(emitter: Emitter, node: Node, x: Value): Value {
  return emitter.emit(node.op, [x, input(node, 1)], node.attributes, { name: 'product' });
}
