// DoRA's gain m / ||W + s BA|| (arXiv 2402.09353, equation 5; PEFT 0.21 tuners/lora/dora.py), a constant once an adapter is trained.
import { AppError } from '../core/index.ts';
import type { TakeTurns } from './event-loop-turns.ts';
import type { LoraSite } from './lora-site.ts';
import { addRows, transpose } from './row-sums.ts';

/** Multiplications between two looks at the clock. */
const WORK_PER_PIECE = 2_000_000;

/**
 * @param weight - the base's original weight: [out, in], for the embedding [vocabulary, hidden] = [in, out].
 * @param magnitude - m, [out].
 * @returns the gain, [out].
 * @throws AppError `invalid_adapter` when a norm is 0.
 */
export async function doraGain(lora: LoraSite, weight: Float32Array, magnitude: Float32Array, turns: TakeTurns): Promise<Float32Array> {
  const { inFeatures, outFeatures, module, kind } = lora.site;
  if (weight.length !== inFeatures * outFeatures) {
    throw new Error(`DoRA: the base's ${module} has ${weight.length} values, expected ${inFeatures * outFeatures}`);
  }
  const squares = kind === 'embedding' ? await columnSquares(lora, weight, turns) : await rowSquares(lora, weight, turns);
  const gain = new Float32Array(outFeatures);
  for (let out = 0; out < outFeatures; out += 1) {
    const norm = Math.sqrt(squares[out] ?? 0);
    if (norm === 0) {
      throw new AppError('invalid_adapter', `DoRA: the norm of output ${out} of ${module} is 0, so its magnitude has no direction`);
    }
    gain[out] = (magnitude[out] ?? 0) / norm;
  }
  return gain;
}

/** Sums of squares over each row of W + s BA, where W is [out, in]. */
async function rowSquares({ site, rank, scale, a, b }: LoraSite, weight: Float32Array, turns: TakeTurns): Promise<Float64Array> {
  const { inFeatures, outFeatures } = site;
  const squares = new Float64Array(outFeatures);
  const row = new Float64Array(inFeatures);
  const factors = new Float64Array(rank);
  const rowsPerPiece = Math.max(1, Math.floor(WORK_PER_PIECE / (inFeatures * rank)));
  for (let out = 0; out < outFeatures; out += 1) {
    if (out % rowsPerPiece === 0) await turns();
    row.set(weight.subarray(out * inFeatures, (out + 1) * inFeatures));
    for (let k = 0; k < rank; k += 1) factors[k] = scale * (b[out * rank + k] ?? 0);
    addRows(row, a, factors);
    let sum = 0;
    for (let index = 0; index < inFeatures; index += 1) sum += (row[index] ?? 0) ** 2;
    squares[out] = sum;
  }
  return squares;
}

/** Sums of squares over each column of W + s (BA)^T, where W is [vocabulary, hidden]. */
async function columnSquares({ site, rank, scale, a, b }: LoraSite, weight: Float32Array, turns: TakeTurns): Promise<Float64Array> {
  const { inFeatures: vocabulary, outFeatures: hidden } = site;
  const squares = new Float64Array(hidden);
  const row = new Float64Array(hidden);
  const factors = new Float64Array(rank);
  const rowsOfB = transpose(b, hidden, rank);
  const rowsPerPiece = Math.max(1, Math.floor(WORK_PER_PIECE / (hidden * rank)));
  for (let token = 0; token < vocabulary; token += 1) {
    if (token % rowsPerPiece === 0) await turns();
    row.set(weight.subarray(token * hidden, (token + 1) * hidden));
    for (let k = 0; k < rank; k += 1) factors[k] = scale * (a[k * vocabulary + token] ?? 0);
    addRows(row, rowsOfB, factors);
    for (let column = 0; column < hidden; column += 1) squares[column] = (squares[column] ?? 0) + (row[column] ?? 0) ** 2;
  }
  return squares;
}
