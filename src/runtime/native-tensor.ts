// The call that makes a tensor over memory that somebody else owns, over raw pointers alone.
import type { OrtLibrary } from './library.ts';

/** ONNXTensorElementDataType of onnxruntime_c_api.h. */
const ELEMENT_TYPES = { float32: 1, uint8: 2, int8: 3, int32: 6, int64: 7, bool: 9, float16: 10, float64: 11 } as const;
export const ELEMENT_BYTES = { float32: 4, uint8: 1, int8: 1, int32: 4, int64: 8, bool: 1, float16: 2, float64: 8 } as const;

export type ElementType = keyof typeof ELEMENT_TYPES;

export interface NativeTensor {
  readonly type: ElementType;
  readonly shape: readonly number[];
  /** A typed array whose memory V8 does not move, or an address. */
  readonly data: unknown;
  readonly bytes: number;
}

/** Dimensions are read when a tensor is made and not kept. No tensor of ours has more. */
const DIMS = new BigInt64Array(new ArrayBuffer(8 * 8));

/** Answers the pointer of an OrtValue that reads and writes the data in place. */
export function createNativeTensor(library: OrtLibrary, memoryInfo: unknown, { type, shape, data, bytes }: NativeTensor): unknown {
  shape.forEach((size, axis) => (DIMS[axis] = BigInt(size)));
  return library.create('CreateTensorWithDataAsOrtValue', memoryInfo, data, bytes, DIMS, shape.length, ELEMENT_TYPES[type]);
}
