export type { EngineClient, Generation } from './client-port.ts';
export { type EngineLink, RemoteEngineClient } from './client.ts';
export { Engine } from './engine.ts';
export { type EngineHost, hostEngine, type HostPort } from './host.ts';
export type { EngineEvent, EngineStats, FromEngine, GenerationRequest, SamplingParameters, ToEngine, TokenLogprob } from './messages.ts';
export { adapterMemory, type EngineOptions } from './options.ts';
export { BLOCK_POSITIONS } from './ports.ts';
export type {
  ConstraintSource,
  DecodeCall,
  MixedCall,
  ExecutorShape,
  ModelExecutor,
  PackedAdapterSource,
  PrefillCall,
  RowId,
  SessionCall,
} from './ports.ts';
export { NEUTRAL_SAMPLING } from './sampling/neutral.ts';
export type { EngineDependencies, EngineLimits } from './state.ts';
