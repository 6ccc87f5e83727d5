// From a site as PEFT stores it to the arrays that the engine multiplies with: transposed, with scale and DoRA's gain folded in.
import { AppError } from '../core/index.ts';
import { findNonFinite } from '../formats/index.ts';
import { doraGain } from './dora-gain.ts';
import type { TakeTurns } from './event-loop-turns.ts';
import type { LoraSite } from './lora-site.ts';
import type { PackedSiteContent } from './packed.ts';
import { transpose } from './row-sums.ts';

/** Reads the base's original weight of a module; asked only for sites with DoRA. */
export type ReadWeight = (module: string) => Promise<Float32Array>;

/**
 * y = gain * (W x) + (x a) b + bias, where a = A^T, b = s * gain * B^T and bias = s * (bias of lora_B); see packed.ts.
 * @throws AppError `invalid_adapter` when a result is too large for float32, or a DoRA norm is 0.
 */
export async function packSite(lora: LoraSite, readWeight: ReadWeight, turns: TakeTurns): Promise<PackedSiteContent> {
  const { site, rank, scale, magnitude } = lora;
  const gain = magnitude === undefined ? undefined : await doraGain(lora, await readWeight(site.module), magnitude, turns);
  const a = transpose(lora.a, rank, site.inFeatures);
  await turns();
  const b = foldScale(lora, gain);
  const bias = lora.bias?.map((value) => value * scale);
  await turns();
  for (const folded of [gain, b, bias]) {
    if (folded !== undefined && findNonFinite(folded) !== undefined) {
      throw new AppError('invalid_adapter', `module "${site.module}": with scale ${scale} a value is too large for float32`);
    }
  }
  return { site: site.id, rank, a, b, ...(gain !== undefined && { gain }), ...(bias !== undefined && { bias }) };
}

/** B [out, r] to [r, out], each output times scale and gain. */
function foldScale({ site, rank, scale, b }: LoraSite, gain: Float32Array | undefined): Float32Array {
  const { outFeatures } = site;
  const folded = new Float32Array(rank * outFeatures);
  for (let out = 0; out < outFeatures; out += 1) {
    const factor = scale * (gain?.[out] ?? 1);
    for (let k = 0; k < rank; k += 1) folded[k * outFeatures + out] = factor * (b[out * rank + k] ?? 0);
  }
  return folded;
}
