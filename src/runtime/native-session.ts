// The call that creates a session, over raw pointers alone, so that any thread of the process can make it.
import { NativeHandle } from './handles.ts';
import type { OrtLibrary } from './library.ts';

const ENABLE_ALL_OPTIMISATIONS = 99;

/** A plain record that can be sent to another thread. Everything that it points to must outlive the call, shared weights also the session. */
export interface NativeSessionRequest {
  readonly environment: unknown;
  /** Path of the graph, or the graph itself, without shared weights. */
  readonly graph: string | Uint8Array;
  /** Keys as in onnxruntime_session_options_config_keys.h. */
  readonly config: Readonly<Record<string, string>>;
  readonly profilePrefix: string | null;
  /** OrtValues by initializer name, and the container of their packed copies; null: the graph reads its own external data. */
  readonly shared: { readonly values: readonly (readonly [name: string, value: unknown])[]; readonly container: unknown } | null;
}

/** Answers the pointer of the session. @throws Error with ONNX Runtime's message when the graph is not valid. */
export function createNativeSession(
  library: OrtLibrary,
  { environment, graph, config, profilePrefix, shared }: NativeSessionRequest,
): unknown {
  using options = new NativeHandle('session options', library.create('CreateSessionOptions'), (pointer) =>
    library.call('ReleaseSessionOptions', pointer),
  );
  library.check('SetSessionGraphOptimizationLevel', options.pointer, ENABLE_ALL_OPTIMISATIONS);
  library.check('DisablePerSessionThreads', options.pointer);
  // Memory patterns are cached for every combination of input shapes; ranks, rows and lengths would make that grow without end.
  library.check('DisableMemPattern', options.pointer);
  for (const [key, value] of Object.entries(config)) library.check('AddSessionConfigEntry', options.pointer, key, value);
  if (profilePrefix !== null) library.check('EnableProfiling', options.pointer, profilePrefix);
  if (typeof graph !== 'string') return library.create('CreateSessionFromArray', environment, graph, graph.byteLength, options.pointer);
  if (!shared) return library.create('CreateSession', environment, graph, options.pointer);
  for (const [name, value] of shared.values) library.check('AddInitializer', options.pointer, name, value);
  return library.create('CreateSessionWithPrepackedWeightsContainer', environment, graph, options.pointer, shared.container);
}
