// Rotary embedding tables with the scaling baked in. Follows the float32 steps of transformers' modeling_rope_utils, so that angles at far
// positions round as they did in training.
import type { LlamaConfig, RopeScaling } from './config.ts';

export interface RopeTables {
  /** [maxContext, headSize / 2], row-major. */
  readonly cos: Float32Array;
  readonly sin: Float32Array;
}

/** cos and sin of position * frequency (Su et al. 2021, RoFormer, section 3.2.2). */
export function ropeTables(config: LlamaConfig, maxContext: number): RopeTables {
  const frequencies = ropeFrequencies(config);
  const half = frequencies.length;
  const cos = new Float32Array(maxContext * half);
  const sin = new Float32Array(maxContext * half);
  for (let position = 0; position < maxContext; position++) {
    for (const [index, frequency] of frequencies.entries()) {
      const angle = Math.fround(position * frequency);
      cos[position * half + index] = Math.cos(angle);
      sin[position * half + index] = Math.sin(angle);
    }
  }
  return { cos, sin };
}

/** Radians per position, headSize / 2 of them, from fast to slow. */
export function ropeFrequencies({ headSize, ropeTheta, ropeScaling }: LlamaConfig): readonly number[] {
  return Array.from({ length: headSize / 2 }, (_, index) => {
    const base = Math.fround(1 / Math.fround(ropeTheta ** Math.fround((2 * index) / headSize)));
    return Math.fround(scaledFrequency(base, ropeScaling, index));
  });
}

function scaledFrequency(frequency: number, scaling: RopeScaling, index: number): number {
  switch (scaling.kind) {
    case 'none':
      return frequency;
    case 'linear':
      return frequency / scaling.factor;
    case 'divisors':
      return frequency / (scaling.divisors[index] ?? 1);
    case 'llama3':
      return llama3Frequency(frequency, scaling);
  }
}

/** Llama 3.1's scaling: by wavelength, with a linear blend between the two limits. */
function llama3Frequency(frequency: number, scaling: RopeScaling & { readonly kind: 'llama3' }): number {
  const { factor, lowFreqFactor, highFreqFactor, originalMaxContext } = scaling;
  const wavelength = (2 * Math.PI) / frequency;
  if (wavelength < originalMaxContext / highFreqFactor) return frequency;
  if (wavelength > originalMaxContext / lowFreqFactor) return frequency / factor;
  const blend = (originalMaxContext / wavelength - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
  return ((1 - blend) * frequency) / factor + blend * frequency;
}
