// What every block format of ggml provides: a decoder of one block. The formats are in legacy-blocks.ts and k-blocks.ts.
//
// Why doubles give ggml's float32 bits: scales are float16 and multipliers small integers, so every product has at most 24 significant bits
// and is exact in float32 and float64 alike; the one sum is exact in float64 and rounded once, on the store into the Float32Array.

/**
 * Decodes the block that begins at `source[from]` into the values from `target[to]` on.
 * `half` maps float16 bits to values.
 */
export type BlockDecoder = (source: Uint8Array, from: number, target: Float32Array, to: number, half: Float32Array) => void;

/** The byte at `index`; readers have checked that it exists. */
export function byteAt(source: Uint8Array, index: number): number {
  return source[index] ?? 0;
}

/** The float16 at `index`, as a value. */
export function halfAt(source: Uint8Array, index: number, half: Float32Array): number {
  return half[byteAt(source, index) | (byteAt(source, index + 1) << 8)] ?? 0;
}
