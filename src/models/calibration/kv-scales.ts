// Static scales of an int8 cache from what calibration saw. Pure.
import type { KvScales } from '../compiled-model.ts';
import type { Calibration } from './calibration.ts';

const INT8_LARGEST = 127;
/** Other texts reach further than the calibration's, and what lies beyond saturates. Of 0.8 to 1.2, 1.1 gave the least KL. */
const MARGIN = 1.1;
/** For a channel that the text left at zero: the kernel divides by the scale. */
const LEAST_LARGEST = 1e-3;

/** By layer; value = int8 * scale. */
export function kvScales({ keyMax, valueMax }: Pick<Calibration, 'keyMax' | 'valueMax'>): readonly KvScales[] {
  return keyMax.map((key, layer) => ({ key: scales(key), value: scales(valueMax[layer] ?? new Float32Array()) }));
}

function scales(largest: Float32Array): Float32Array {
  return largest.map((size) => (Math.max(size, LEAST_LARGEST) * MARGIN) / INT8_LARGEST);
}
