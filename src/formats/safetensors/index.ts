// The part of this folder that other rooms use.
export { openSafetensorsCheckpoint } from './checkpoint.ts';
export { readSafetensors, type SafetensorsFile } from './read.ts';
export type { SafetensorsTensor } from './tensor.ts';
export { findNonFinite, float32Tensor, tensorToFloat32 } from './values.ts';
export { writeSafetensors } from './write.ts';
export { type PlannedTensor, tensorBytes, writeSafetensorsFile } from './write-file.ts';
