// Full weights that PEFT puts beside an adapter's own tensors. Loading one replaces the base's weight, which changes nothing only when it is
// a copy of that weight; this file tells copies from weights that were changed.
import { AppError } from '../core/index.ts';
import { findNonFinite, tensorToFloat32, type SafetensorsTensor } from '../formats/index.ts';
import type { AdapterSite } from '../models/index.ts';
import type { TakeTurns } from './event-loop-turns.ts';

/** A full weight of an embedding or head that has the shape of the base's. */
export interface BaseCopy {
  readonly site: AdapterSite;
  readonly tensor: SafetensorsTensor;
}

/**
 * Largest relative Frobenius distance of a copy. PEFT saw the base in its original precision; the file may hold it as bfloat16 (0.002 away)
 * and ours may be quantised: rounded Gaussian weights are 0.005 away as Q8_0, 0.043 as Q5_0, 0.078 as Q4_1 and 0.086 as Q4_0. Unrelated weights
 * are about 1.4 away. A weight that was trained is not told by its distance: PEFT names it in `modules_to_save`, which is refused.
 */
const MAX_DISTANCE = 0.1;

/** Values that are compared between two looks at the clock. */
const VALUES_PER_PIECE = 1 << 18;

/**
 * @param weight - the base's weight of the same module, row-major in the tensor's shape.
 * @throws AppError `unsupported_adapter` when the tensor is no copy of it, `invalid_adapter` when a value is NaN or infinite.
 */
export async function requireBaseCopy({ site, tensor }: BaseCopy, weight: Float32Array, turns: TakeTurns): Promise<void> {
  const distance = await relativeDistance(tensor, weight, turns);
  if (distance <= MAX_DISTANCE) return;
  throw new AppError(
    'unsupported_adapter',
    `tensor ${JSON.stringify(tensor.name)} is a full weight at relative distance ${distance.toPrecision(3)} from the base's own ` +
      `${site.module}, expected a copy of it (at most ${MAX_DISTANCE}); upload to the base that the adapter was trained on, or, if that is this ` +
      'one, save the adapter with save_embedding_layers=False',
  );
}

/** ||tensor - weight|| / ||weight||, summed in float64. The tensor is widened in pieces: a whole one may be as large as the base's largest weight. */
async function relativeDistance(tensor: SafetensorsTensor, weight: Float32Array, turns: TakeTurns): Promise<number> {
  const bytesPerValue = tensor.bytes.length / weight.length;
  let differences = 0;
  let squares = 0;
  for (let start = 0; start < weight.length; start += VALUES_PER_PIECE) {
    await turns();
    const expected = weight.subarray(start, start + VALUES_PER_PIECE);
    const bytes = tensor.bytes.subarray(start * bytesPerValue, (start + expected.length) * bytesPerValue);
    const values = tensorToFloat32({ dtype: tensor.dtype, bytes });
    const wrong = findNonFinite(values);
    if (wrong !== undefined) {
      throw new AppError(
        'invalid_adapter',
        `tensor ${JSON.stringify(tensor.name)}: value ${start + wrong} is ${values[wrong]}, expected finite numbers`,
      );
    }
    for (let index = 0; index < expected.length; index += 1) {
      const own = expected[index] ?? 0;
      differences += ((values[index] ?? 0) - own) ** 2;
      squares += own ** 2;
    }
  }
  return differences === 0 ? 0 : Math.sqrt(differences / squares);
}
