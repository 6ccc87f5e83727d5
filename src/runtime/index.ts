export { createEnvironment, type EnvironmentOptions, type OrtEnvironment } from './environment.ts';
export { liveHandleCount } from './handles.ts';
export { bundledLibraryPath, loadLibrary } from './library.ts';
export { HostMemory } from './memory.ts';
export {
  type Binding,
  createSession,
  createSessionApart,
  createSmallSession,
  type NamedData,
  type Session,
  type SessionOptions,
} from './session.ts';
export { createTensor, type ElementType, type Tensor, type TensorData } from './tensor.ts';
export { mapWeights, type SharedWeights, type WeightEntry } from './weights.ts';
