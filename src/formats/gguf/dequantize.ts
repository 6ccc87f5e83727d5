// Tensor bytes of a ggml type → float32 values, bit for bit as ggml's reference code computes them.
import { bytesToFloat32, FLOAT_BYTES } from '../float-bytes.ts';
import { FormatError } from '../format-error.ts';
import { float16Values } from '../half-precision.ts';
import type { BlockDecoder } from './block-decoder.ts';
import { ggmlTypeNamed } from './ggml-types.ts';
import { decodeQ4K, decodeQ5K, decodeQ6K } from './k-blocks.ts';
import { decodeQ40, decodeQ41, decodeQ50, decodeQ51, decodeQ80 } from './legacy-blocks.ts';

const BLOCK_DECODERS: ReadonlyMap<string, BlockDecoder> = new Map([
  ['Q4_0', decodeQ40],
  ['Q4_1', decodeQ41],
  ['Q5_0', decodeQ50],
  ['Q5_1', decodeQ51],
  ['Q8_0', decodeQ80],
  ['Q4_K', decodeQ4K],
  ['Q5_K', decodeQ5K],
  ['Q6_K', decodeQ6K],
]);

/** Names of the ggml types that `dequantize` takes. */
export const DEQUANTIZABLE_TYPES: readonly string[] = ['F32', 'F16', 'BF16', ...BLOCK_DECODERS.keys()];

/**
 * Values of `bytes`, in the order of the blocks.
 * @param type name of the ggml type, as in GgufTensorInfo.
 * @throws FormatError for a type that is not in DEQUANTIZABLE_TYPES, or bytes that do not hold exactly `valueCount` values.
 */
export function dequantize(type: string, bytes: Uint8Array, valueCount: number): Float32Array {
  if (type === 'F32' || type === 'F16' || type === 'BF16') {
    requireBytes(type, bytes, valueCount * FLOAT_BYTES[type], valueCount);
    return bytesToFloat32(bytes, type);
  }
  const decode = BLOCK_DECODERS.get(type);
  const format = ggmlTypeNamed(type);
  if (decode === undefined || format === undefined) {
    throw new FormatError('gguf', `tensor type ${type} is not supported; expected one of ${DEQUANTIZABLE_TYPES.join(', ')}`);
  }
  const { blockValues, blockBytes } = format;
  requireBytes(type, bytes, Math.ceil(valueCount / blockValues) * blockBytes, valueCount);
  if (valueCount % blockValues !== 0) throw new FormatError('gguf', `${valueCount} values are not whole ${type} blocks of ${blockValues}`);
  const half = float16Values();
  const values = new Float32Array(valueCount);
  for (let from = 0, to = 0; to < valueCount; from += blockBytes, to += blockValues) decode(bytes, from, values, to, half);
  return values;
}

function requireBytes(type: string, bytes: Uint8Array, expectedBytes: number, valueCount: number): void {
  if (bytes.byteLength !== expectedBytes) {
    throw new FormatError('gguf', `${valueCount} values of type ${type} need ${expectedBytes} bytes, got ${bytes.byteLength}`);
  }
}
