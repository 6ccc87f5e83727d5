// A compiled graph and its bindings. A run is synchronous and writes outputs into the tensors that were bound.
import type { OrtEnvironment } from './environment.ts';
import { NativeHandle } from './handles.ts';
import type { Tensor } from './tensor.ts';
import type { SharedWeights } from './weights.ts';

const ENABLE_ALL_OPTIMISATIONS = 99;

export interface SessionOptions {
  /** Weights by initializer name; the graph's own external data is then never read. */
  readonly weights?: { readonly shared: SharedWeights; readonly names: readonly string[] };
  /** Extra session configuration entries, keys as in onnxruntime_session_options_config_keys.h. */
  readonly config?: Readonly<Record<string, string>>;
  /** Writes a profile with this file prefix. */
  readonly profilePrefix?: string;
}

/** Inputs and outputs of one shape of run. Bound tensors must outlive the binding or be replaced. */
export interface Binding extends Disposable {
  input(name: string, tensor: Tensor): void;
  output(name: string, tensor: Tensor): void;
  run(): void;
  dispose(): void;
}

export interface Session extends Disposable {
  createBinding(): Binding;
  dispose(): void;
}

/** @throws Error with ONNX Runtime's message when the graph is not valid. */
export function createSession(environment: OrtEnvironment, path: string, options: SessionOptions = {}): Session {
  const { library } = environment;
  using native = new NativeHandle('session options', library.create('CreateSessionOptions'), (pointer) =>
    library.call('ReleaseSessionOptions', pointer),
  );
  library.check('SetSessionGraphOptimizationLevel', native.pointer, ENABLE_ALL_OPTIMISATIONS);
  library.check('DisablePerSessionThreads', native.pointer);
  // Memory patterns are cached for every combination of input shapes; ranks, rows and lengths would make that grow without end.
  library.check('DisableMemPattern', native.pointer);
  for (const [key, value] of Object.entries(options.config ?? {})) library.check('AddSessionConfigEntry', native.pointer, key, value);
  if (options.profilePrefix) library.check('EnableProfiling', native.pointer, options.profilePrefix);
  const session = createNative(environment, path, native, options.weights);
  const handle = new NativeHandle('session', session, (pointer) => library.call('ReleaseSession', pointer));
  return {
    createBinding: () => createBinding(environment, handle),
    dispose: () => handle.dispose(),
    [Symbol.dispose]: () => handle.dispose(),
  };
}

function createNative(environment: OrtEnvironment, path: string, options: NativeHandle, weights: SessionOptions['weights']): unknown {
  const { library, handle } = environment;
  if (!weights) return library.create('CreateSession', handle.pointer, path, options.pointer);
  for (const name of weights.names) {
    const tensor = weights.shared.tensors.get(name);
    if (!tensor) throw new Error(`the weights file has no ${name}`);
    library.check('AddInitializer', options.pointer, name, tensor.handle.pointer);
  }
  return library.create(
    'CreateSessionWithPrepackedWeightsContainer',
    handle.pointer,
    path,
    options.pointer,
    weights.shared.container.pointer,
  );
}

function createBinding(environment: OrtEnvironment, session: NativeHandle): Binding {
  const { library, runOptions } = environment;
  const handle = new NativeHandle('binding', library.create('CreateIoBinding', session.pointer), (pointer) =>
    library.call('ReleaseIoBinding', pointer),
  );
  return {
    input: (name, tensor) => library.check('BindInput', handle.pointer, name, tensor.handle.pointer),
    output: (name, tensor) => library.check('BindOutput', handle.pointer, name, tensor.handle.pointer),
    run: () => library.check('RunWithBinding', session.pointer, runOptions.pointer, handle.pointer),
    dispose: () => handle.dispose(),
    [Symbol.dispose]: () => handle.dispose(),
  };
}
