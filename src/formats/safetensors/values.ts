// Elements of tensors as float32 and back.
import { bytesToFloat32, float32ToBytes } from '../float-bytes.ts';
import type { SafetensorsDtype, SafetensorsTensor } from './tensor.ts';

/** A fresh array with the tensor's values, row-major; exact for every dtype, NaN bits included. */
export function tensorToFloat32(tensor: Pick<SafetensorsTensor, 'dtype' | 'bytes'>): Float32Array {
  return bytesToFloat32(tensor.bytes, tensor.dtype);
}

/** A tensor for writeSafetensors, which checks that `shape` holds as many values. */
export function float32Tensor(
  name: string,
  shape: readonly number[],
  values: Float32Array,
  dtype: SafetensorsDtype = 'F32',
): SafetensorsTensor {
  return { name, dtype, shape, bytes: float32ToBytes(values, dtype) };
}

/** Index of the first NaN or infinity, or undefined. */
export function findNonFinite(values: Float32Array): number | undefined {
  for (let index = 0; index < values.length; index += 1) {
    if (!Number.isFinite(values[index])) return index;
  }
  return undefined;
}
