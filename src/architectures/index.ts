export {
  compileDecoder,
  type CompiledDecoder,
  type CompileOptions,
  type LoraSupport,
  type OtherGroups,
  type Precision,
  type RowWise,
  type RowWiseGroup,
  TWO_PRODUCTS,
} from './compile-decoder.ts';
export { compileTraining } from './compile-training.ts';
export { hasCommonRange, int8Blocks, rotationSize } from './even-inputs.ts';
export { buildLlama, type BuildOptions, type CallKind } from './llama/build.ts';
export { type HeadTargets, type TrainingDecoder, type TrainingOptions } from './llama/build-training.ts';
export { type CheckpointTensor, llamaCheckpointTensors, originalTensor, permuteRows, unpermuteRows } from './llama/checkpoint.ts';
export type { LlamaConfig, RopeScaling } from './llama/config.ts';
export { type GgufTensors, llamaConfigFromGguf } from './llama/from-gguf.ts';
export { llamaConfigFromHuggingFace } from './llama/from-hugging-face.ts';
export { llamaConfigToHuggingFace } from './llama/to-hugging-face.ts';
export { type AdapterSite, llamaSites } from './llama/sites.ts';
