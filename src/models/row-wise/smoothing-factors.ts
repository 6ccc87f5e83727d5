// How far each input channel of a projection is smoothed before its rows are quantised. Pure.

/** Share of the outliers that moves from activations to weights: the best of 0.5 to 0.8 on the default model. */
const STRENGTH = 0.7;
/** A channel that never moved in calibration: nothing to smooth. */
const SMALLEST = 1e-5;

/**
 * max|x|^a / max|w|^(1 - a) for each channel (SmoothQuant, Xiao et al. 2022, eq. 4), with a geometric mean of 1. `weight` is
 * [outFeatures, inFeatures].
 */
export function smoothingFactors(inputMax: Float32Array, weight: Float32Array): Float32Array {
  const weightMax = new Float32Array(inputMax.length).fill(SMALLEST);
  for (let index = 0, channel = 0; index < weight.length; index++) {
    const size = Math.abs(weight[index] ?? 0);
    if (size > (weightMax[channel] ?? 0)) weightMax[channel] = size;
    if (++channel === weightMax.length) channel = 0;
  }
  const logs = inputMax.map(
    (size, channel) => STRENGTH * Math.log(Math.max(size, SMALLEST)) - (1 - STRENGTH) * Math.log(weightMax[channel] ?? SMALLEST),
  );
  const mean = logs.reduce((sum, log) => sum + log, 0) / logs.length;
  return logs.map((log) => Math.exp(log - mean));
}
