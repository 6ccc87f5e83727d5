// Element types and shapes of the IR. A dimension is a number, or the name of a size that is only known at run time.

export type ElementType = 'float32' | 'int64' | 'int32' | 'uint8' | 'int8' | 'bool';
export type Dim = number | string;
export type Shape = readonly Dim[];

export interface TensorType {
  readonly type: ElementType;
  readonly shape: Shape;
}

/** A type as inference gives it: `null` is a dimension that the inputs do not determine, so that the maker of the node names it. */
export interface PartialTensorType {
  readonly type: ElementType;
  readonly shape: readonly (Dim | null)[];
}

export const ELEMENT_BYTES: Readonly<Record<ElementType, number>> = { float32: 4, int64: 8, int32: 4, uint8: 1, int8: 1, bool: 1 };

export function sameShape(left: Shape, right: Shape): boolean {
  return left.length === right.length && left.every((dim, axis) => dim === right[axis]);
}

/** Number of elements of a shape without names. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

/** `float32[B, T, 64]` */
export function formatType({ type, shape }: { readonly type: ElementType; readonly shape: readonly (Dim | null)[] }): string {
  return `${type}[${shape.map((dim) => dim ?? '?').join(', ')}]`;
}
