// Arrays of F32, F16 and BF16 as little-endian bytes, widened to float32 exactly and narrowed with round to nearest even.
// Hosts are little-endian, like every machine that ONNX Runtime is built for.
import { float16Table, narrowToBfloat16, narrowToFloat16 } from './half-precision.ts';

export type FloatType = 'F32' | 'F16' | 'BF16';

export const FLOAT_BYTES: Readonly<Record<FloatType, number>> = { F32: 4, F16: 2, BF16: 2 };

/** A fresh array of the values; NaN bits are kept. `bytes` may start anywhere and must hold whole values. */
export function bytesToFloat32(bytes: Uint8Array, type: FloatType): Float32Array {
  // A copy: the view may start at an odd byte, where typed arrays cannot. Not slice(), which on a Buffer copies nothing.
  const copy = new Uint8Array(bytes).buffer;
  if (type === 'F32') return new Float32Array(copy);
  const halves = new Uint16Array(copy);
  const bits = new Uint32Array(halves.length);
  if (type === 'F16') {
    const table = float16Table();
    for (let index = 0; index < halves.length; index += 1) bits[index] = table[halves[index] ?? 0] ?? 0;
  } else {
    for (let index = 0; index < halves.length; index += 1) bits[index] = (halves[index] ?? 0) << 16;
  }
  return new Float32Array(bits.buffer);
}

/** Bytes of `values`. F16 and BF16 round to nearest, ties to even; what is too large becomes infinity. */
export function float32ToBytes(values: Float32Array, type: FloatType): Uint8Array {
  const bits = new Uint32Array(new Float32Array(values).buffer);
  if (type === 'F32') return new Uint8Array(bits.buffer);
  const narrow = type === 'F16' ? narrowToFloat16 : narrowToBfloat16;
  const halves = new Uint16Array(bits.length);
  for (let index = 0; index < bits.length; index += 1) halves[index] = narrow(bits[index] ?? 0);
  return new Uint8Array(halves.buffer);
}
