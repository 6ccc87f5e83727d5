// Tensors over memory that somebody else owns: an OrtValue that points into a typed array and keeps it referenced.
import { NativeHandle } from './handles.ts';
import type { OrtEnvironment } from './environment.ts';

/** ONNXTensorElementDataType of onnxruntime_c_api.h. */
const ELEMENT_TYPES = { float32: 1, uint8: 2, int8: 3, int32: 6, int64: 7, bool: 9, float16: 10, float64: 11 } as const;
export const ELEMENT_BYTES = { float32: 4, uint8: 1, int8: 1, int32: 4, int64: 8, bool: 1, float16: 2, float64: 8 } as const;

export type ElementType = keyof typeof ELEMENT_TYPES;
export type TensorData = Float32Array | Float64Array | Uint8Array | Int8Array | Int32Array | BigInt64Array | Uint16Array;

export interface Tensor extends Disposable {
  readonly type: ElementType;
  readonly shape: readonly number[];
  readonly handle: NativeHandle;
  dispose(): void;
}

/** Dimensions are read when the tensor is made and not kept. No tensor of ours has more. */
const DIMS = new BigInt64Array(new ArrayBuffer(8 * 8));

/** Data pointers of empty tensors must still point somewhere. */
const EMPTY = new Uint8Array(new ArrayBuffer(64));

/**
 * Wraps `data` without copying; ONNX Runtime reads and writes it in place for as long as the tensor lives.
 * `data` must lie in a buffer of its own (not on V8's moving heap): arrays made from an ArrayBuffer or from HostMemory do.
 * @throws Error when the shape does not match the data's length.
 */
export function createTensor(environment: OrtEnvironment, type: ElementType, shape: readonly number[], data: TensorData): Tensor {
  const count = shape.reduce((product, size) => product * size, 1);
  const bytes = count * ELEMENT_BYTES[type];
  if (bytes !== data.byteLength)
    throw new Error(`tensor ${type} [${shape.join(', ')}] needs ${bytes} bytes, its data has ${data.byteLength}`);
  // Touching `.buffer` moves a small array off V8's heap before its address is taken.
  const memory = bytes === 0 || data.buffer.byteLength === 0 ? EMPTY : data;
  shape.forEach((size, axis) => (DIMS[axis] = BigInt(size)));
  const { library } = environment;
  const pointer = library.create(
    'CreateTensorWithDataAsOrtValue',
    environment.memoryInfo.pointer,
    memory,
    bytes,
    DIMS,
    shape.length,
    ELEMENT_TYPES[type],
  );
  const handle = new NativeHandle('tensor', pointer, (value) => {
    library.call('ReleaseValue', value);
    keep.delete(handle);
  });
  keep.set(handle, memory);
  return { type, shape: [...shape], handle, dispose: () => handle.dispose(), [Symbol.dispose]: () => handle.dispose() };
}

/** Bound memory must stay referenced from JavaScript for as long as the native value lives. */
const keep = new Map<NativeHandle, TensorData>();
