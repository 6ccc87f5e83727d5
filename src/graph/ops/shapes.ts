// Shape arithmetic that several operators share. All of it throws an Error that says what came and what was expected.
import type { InferenceContext } from './schema.ts';
import { type Dim, type ElementType, formatType, type Shape, type TensorType } from '../ir/tensor-type.ts';

/** Input `index`, which must be there with one of the given types. */
export function input(context: InferenceContext, index: number, ...types: readonly ElementType[]): TensorType {
  const found = context.inputs[index];
  if (!found) throw new Error(`input ${index} is missing`);
  if (types.length > 0 && !types.includes(found.type))
    throw new Error(`input ${index} is ${formatType(found)}, expected ${types.join(' or ')}`);
  return found;
}

export function expectRank({ type, shape }: TensorType, rank: number, what: string): void {
  if (shape.length !== rank) throw new Error(`${what} is ${formatType({ type, shape })}, expected ${rank} dimensions`);
}

export function expectDim(actual: Dim | undefined, expected: Dim | undefined, what: string): void {
  if (actual === undefined || actual !== expected)
    throw new Error(`${what} is ${actual ?? 'missing'}, expected ${expected ?? 'a dimension'}`);
}

/** Numpy's broadcasting. Names match only themselves and 1. */
export function broadcast(left: Shape, right: Shape): Shape {
  const rank = Math.max(left.length, right.length);
  return Array.from({ length: rank }, (_, axis) => {
    const one = left[axis - rank + left.length] ?? 1;
    const other = right[axis - rank + right.length] ?? 1;
    if (one === other || other === 1) return one;
    if (one === 1) return other;
    throw new Error(`[${left.join(', ')}] and [${right.join(', ')}] don't broadcast at axis ${axis}`);
  });
}

/** Shape of left @ right: batch axes broadcast, the inner ones agree. */
export function matMulShape(left: Shape, right: Shape): Shape {
  if (left.length < 2 || right.length < 2)
    throw new Error(`matmul of [${left.join(', ')}] and [${right.join(', ')}]: both need two dimensions or more`);
  expectDim(right.at(-2), left.at(-1), `inner dimension of matmul of [${left.join(', ')}] and [${right.join(', ')}]`);
  return [...broadcast(left.slice(0, -2), right.slice(0, -2)), dim(left, -2), dim(right, -1)];
}

export function dim(shape: Shape, axis: number): Dim {
  const found = shape.at(axis);
  if (found === undefined) throw new Error(`[${shape.join(', ')}] has no axis ${axis}`);
  return found;
}

export function fixedDim(shape: Shape, axis: number, what: string): number {
  const found = dim(shape, axis);
  if (typeof found !== 'number') throw new Error(`${what} is ${found}, expected a number`);
  return found;
}

/** A negative axis counts from the end. */
export function normaliseAxis(axis: number, rank: number): number {
  const normal = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(normal) || normal < 0 || normal >= rank) throw new Error(`axis ${axis} is outside of ${rank} dimensions`);
  return normal;
}
