// float16 (IEEE 754 binary16) and bfloat16 as bit patterns: exact widening, narrowing with round to nearest even.

let widened: Uint32Array | undefined;

/** Bits of the float32 for every float16 bit pattern; 65,536 entries, made at first use. */
export function float16Table(): Uint32Array {
  widened ??= Uint32Array.from({ length: 0x10000 }, (_, bits) => widenFloat16(bits));
  return widened;
}

let widenedValues: Float32Array | undefined;

/** The same table as values. */
export function float16Values(): Float32Array {
  widenedValues ??= new Float32Array(float16Table().buffer);
  return widenedValues;
}

function widenFloat16(bits: number): number {
  const sign = (bits & 0x8000) << 16;
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return (sign | 0x7f800000 | (fraction << 13)) >>> 0;
  if (exponent !== 0) return (sign | ((exponent + 112) << 23) | (fraction << 13)) >>> 0;
  if (fraction === 0) return sign >>> 0;
  // Subnormal: the leading one of the fraction becomes the hidden bit.
  const shift = Math.clz32(fraction) - 21;
  return (sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13)) >>> 0;
}

/** float16 bits nearest to the float32 with these bits, ties to even; too large becomes infinity, NaN stays a quiet NaN. */
export function narrowToFloat16(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00 | ((magnitude >>> 13) & 0x1ff);
  // 65,536 and above; values from 65,520 on reach infinity through the carry of the normal case.
  if (magnitude >= 0x47800000) return sign | 0x7c00;
  if (magnitude >= 0x38800000) {
    const rebiased = magnitude - 0x38000000;
    return sign | ((rebiased + 0xfff + ((rebiased >>> 13) & 1)) >>> 13);
  }
  // 2^-25 and below round to zero (2^-25 itself is a tie with even zero).
  if (magnitude <= 0x33000000) return sign;
  const mantissa = (magnitude & 0x7fffff) | 0x800000;
  const shift = 126 - (magnitude >>> 23);
  const halfUnit = 1 << (shift - 1);
  const kept = mantissa >>> shift;
  return sign | ((mantissa + halfUnit - 1 + (kept & 1)) >>> shift);
}

/** bfloat16 bits nearest to the float32 with these bits, ties to even; NaN stays a quiet NaN. */
export function narrowToBfloat16(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}
