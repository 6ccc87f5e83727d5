// Emits the nodes of a backward pass. Only operators of the allow-list come out of here; broadcasting is undone here and nowhere else.
import { type Attributes, float, int } from '../ir/attributes.ts';
import type { Graph, Value } from '../ir/graph.ts';
import { constant } from '../ir/recipe.ts';
import { type Dim, type Shape, sameShape } from '../ir/tensor-type.ts';
import type { EmitOptions, Emitter } from '../ops/emitter.ts';

/** What a backward pass may consist of. */
const EMITTED_OPS: ReadonlySet<string> = new Set(
  ['Add', 'Sub', 'Mul', 'Div', 'Neg', 'Sigmoid', 'FusedMatMul', 'Softmax', 'ReduceSum', 'RotaryEmbedding'].concat([
    'Reshape',
    'Transpose',
    'Split',
    'Concat',
    'Pad',
    'Gather',
    'ScatterElements',
    'Shape',
    'Expand',
  ]),
);

export interface MatMulOperands {
  readonly left: Value;
  readonly right: Value;
  readonly transA?: boolean;
  readonly transB?: boolean;
  readonly alpha?: number;
}

export interface GradientEmitter {
  readonly graph: Graph;
  /** @throws Error when the operator is not on the allow-list. */
  emit(op: string, inputs: readonly (Value | null)[], attributes?: Attributes, options?: EmitOptions): Value;
  emitAll(op: string, inputs: readonly (Value | null)[], attributes: Attributes, options: EmitOptions): readonly Value[];
  /** Product of two, the other one where one of them is the constant 1. */
  mul(left: Value, right: Value): Value;
  matMul(operands: MatMulOperands): Value;
  scalar(value: number): Value;
  integers(values: readonly number[]): Value;
  /** Sums over the axes along which a value of `shape` was broadcast. */
  sumTo(value: Value, shape: Shape): Value;
  /** `value` broadcast to the type of `like`. Reads `like` for its run-time shape when that has names. */
  expand(value: Value, like: Value): Value;
  /** `value` with the shape that `like` has; both have equally many elements. */
  reshape(value: Value, like: Value): Value;
}

export function gradientEmitter(emitter: Emitter): GradientEmitter {
  const { graph } = emitter;
  const allowed = (op: string): void => {
    if (!EMITTED_OPS.has(op)) throw new Error(`operator ${op} may not be part of a backward pass`);
  };
  const emit: GradientEmitter['emit'] = (op, inputs, attributes, options) => {
    allowed(op);
    return emitter.emit(op, inputs, attributes, options);
  };
  const self: GradientEmitter = {
    graph,
    emit,
    emitAll: (op, inputs, attributes, options) => {
      allowed(op);
      return emitter.emitAll(op, inputs, attributes, options);
    },
    mul: (left, right) => {
      if (isOne(graph, right) && covers(left.shape, right.shape)) return left;
      if (isOne(graph, left) && covers(right.shape, left.shape)) return right;
      return emit('Mul', [left, right]);
    },
    matMul: (operands) => matMul(self, operands),
    scalar: (value) => graph.initializer(constant(Float32Array.of(value), [])),
    integers: (values) => graph.initializer(constant(BigInt64Array.from(values, BigInt))),
    sumTo: (value, shape) => sumTo(self, value, shape),
    expand: (value, like) => (sameShape(value.shape, like.shape) ? value : expand(self, value, like)),
    reshape: (value, like) => {
      const found = shaped(graph, value, like);
      return found ?? reshape(self, value, like);
    },
  };
  return self;
}

function matMul(emitter: GradientEmitter, { left, right, transA = false, transB = false, alpha = 1 }: MatMulOperands): Value {
  const scaled = transA ? null : rowScaled(emitter.graph, left, right.shape.at(transB ? -2 : -1));
  const product = emitter.emit('FusedMatMul', [scaled?.rows ?? left, right], {
    ...(transA && { transA: int(1) }),
    ...(transB && { transB: int(1) }),
    ...(alpha !== 1 && { alpha: float(alpha) }),
  });
  return scaled ? emitter.mul(product, scaled.factors) : product;
}

/** diag(f) X Y = diag(f) (X Y): a factor for each row is put off behind a product that makes the rows shorter. */
function rowScaled(graph: Graph, left: Value, columns: Dim | undefined): { readonly rows: Value; readonly factors: Value } | null {
  const node = graph.producer(left);
  const width = left.shape.at(-1);
  if (node?.op !== 'Mul' || typeof width !== 'number' || typeof columns !== 'number' || columns >= width) return null;
  const [rows, factors] = node.inputs;
  const isColumn = factors?.shape.length === left.shape.length && factors.shape.at(-1) === 1;
  return rows && factors && isColumn && sameShape(rows.shape, left.shape) ? { rows, factors } : null;
}

/** Whether a value of the first shape keeps it when it is combined with one of the second. */
function covers(shape: Shape, other: Shape): boolean {
  return other.length <= shape.length && other.every((dim, axis) => dim === 1 || dim === shape[axis + shape.length - other.length]);
}

function isOne(graph: Graph, value: Value): boolean {
  const recipe = graph.recipe(value);
  return recipe?.kind === 'values' && recipe.values instanceof Float32Array && recipe.values.every((element) => element === 1);
}

function sumTo(emitter: GradientEmitter, value: Value, shape: Shape): Value {
  const extra = value.shape.length - shape.length;
  const leading = Array.from({ length: Math.max(0, extra) }, (_, axis) => axis);
  const dropped = leading.length > 0 ? emitter.emit('ReduceSum', [value, emitter.integers(leading)], { keepdims: int(0) }) : value;
  const kept = dropped.shape.flatMap((size, axis) => (size !== 1 && shape[axis + shape.length - dropped.shape.length] === 1 ? [axis] : []));
  return kept.length > 0 ? emitter.emit('ReduceSum', [dropped, emitter.integers(kept)], { keepdims: int(1) }) : dropped;
}

function expand(emitter: GradientEmitter, value: Value, like: Value): Value {
  const sizes = like.shape.filter((size) => typeof size === 'number');
  const shape = sizes.length === like.shape.length ? emitter.integers(sizes) : emitter.emit('Shape', [like]);
  return emitter.emit('Expand', [value, shape], {}, { shapes: [like.shape] });
}

/** The value itself, or what it was before a Reshape undid that shape: sizes that only run time knows could not be had back otherwise. */
function shaped(graph: Graph, value: Value, like: Value): Value | undefined {
  const source = graph.producer(value);
  const before = source?.op === 'Reshape' ? source.inputs[0] : null;
  return [value, before].find((candidate): candidate is Value => !!candidate && sameShape(candidate.shape, like.shape));
}

function reshape(emitter: GradientEmitter, value: Value, like: Value): Value {
  const target = like.shape.map((size, axis) => targetSize(size, value.shape[axis]));
  const open = target.filter((size) => size === -1).length;
  if (open > 1) throw new Error(`${value.name} can't take the shape [${like.shape.join(', ')}]: more than one size is open`);
  return emitter.emit('Reshape', [value, emitter.integers(target)], {}, { shapes: [like.shape] });
}

function targetSize(wanted: Dim, present: Dim | undefined): number {
  if (typeof wanted === 'number') return wanted;
  return wanted === present ? 0 : -1;
}
