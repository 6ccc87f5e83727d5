// Tensors over memory that somebody else owns: an OrtValue that points into a typed array and keeps it referenced.
import { NativeHandle } from './handles.ts';
import type { OrtEnvironment } from './environment.ts';
import { createNativeTensor, ELEMENT_BYTES, type ElementType } from './native-tensor.ts';

export { ELEMENT_BYTES, type ElementType } from './native-tensor.ts';

export type TensorData = Float32Array | Float64Array | Uint8Array | Int8Array | Int32Array | BigInt64Array | Uint16Array;

export interface Tensor extends Disposable {
  readonly type: ElementType;
  readonly shape: readonly number[];
  readonly handle: NativeHandle;
  dispose(): void;
}

/** Data pointers of empty tensors must still point somewhere. */
const EMPTY = new Uint8Array(new ArrayBuffer(64));

/**
 * Wraps `data` without copying; ONNX Runtime reads and writes it in place for as long as the tensor lives.
 * `data` must lie in a buffer of its own (not on V8's moving heap): arrays made from an ArrayBuffer or from HostMemory do.
 * @throws Error when the shape does not match the data's length.
 */
export function createTensor(environment: OrtEnvironment, type: ElementType, shape: readonly number[], data: TensorData): Tensor {
  const { library, memoryInfo } = environment;
  const [memory = EMPTY] = memoryOf(type, shape, [data]);
  const pointer = createNativeTensor(library, memoryInfo.pointer, { type, shape, data: memory, bytes: data.byteLength });
  const handle = new NativeHandle('tensor', pointer, (value) => {
    library.call('ReleaseValue', value);
    keep.delete(handle);
  });
  keep.set(handle, memory);
  return { type, shape: [...shape], handle, dispose: () => handle.dispose(), [Symbol.dispose]: () => handle.dispose() };
}

/** What a tensor's pointer can be taken of, for each part of its data. @throws Error when the shape does not match their length. */
export function memoryOf(type: ElementType, shape: readonly number[], parts: readonly TensorData[]): readonly TensorData[] {
  const bytes = shape.reduce((product, size) => product * size, 1) * ELEMENT_BYTES[type];
  const given = parts.reduce((sum, { byteLength }) => sum + byteLength, 0);
  if (bytes !== given) throw new Error(`tensor ${type} [${shape.join(', ')}] needs ${bytes} bytes, its data has ${given}`);
  // Touching `.buffer` moves a small array off V8's heap before its address is taken.
  return bytes === 0 ? [EMPTY] : parts.filter(({ buffer }) => buffer.byteLength > 0);
}

/** Bound memory must stay referenced from JavaScript for as long as the native value lives. */
const keep = new Map<NativeHandle, TensorData>();
