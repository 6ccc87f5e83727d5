// A compiled graph and its bindings. A run is synchronous and writes outputs into the tensors that were bound.
import type { OrtEnvironment } from './environment.ts';
import { NativeHandle } from './handles.ts';
import { addressOf } from './memory.ts';
import { createNativeSession, type NativeSessionRequest } from './native-session.ts';
import { NativeThread } from './native-thread.ts';
import { type NamedTensor, type NativeRunRequest, runNative } from './native-run.ts';
import { type ElementType, memoryOf, type Tensor, type TensorData } from './tensor.ts';
import type { SharedWeights } from './weights.ts';

export interface SessionOptions {
  /** Weights by initializer name; the graph's own external data for them is then never read. */
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

/** An input or output of one run. */
export interface NamedData {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly number[];
  /** As for `createTensor`; or parts of an input that are copied together for the run, one behind the other. */
  readonly data: TensorData | readonly TensorData[];
}

export interface Session extends Disposable {
  createBinding(): Binding;
  /** One run that keeps nothing. */
  run(inputs: readonly NamedData[], outputs: readonly NamedData[]): void;
  /** The same on the environment's other thread, which gives way to this one; this one only says what the run is about. The session must stay meanwhile. */
  runApart(inputs: readonly NamedData[], outputs: readonly NamedData[]): Promise<void>;
  dispose(): void;
}

/** @throws Error with ONNX Runtime's message when the graph is not valid. */
export function createSession(environment: OrtEnvironment, path: string, options: SessionOptions = {}): Session {
  return sessionOf(environment, createNativeSession(environment.library, requestOf(environment, path, options)));
}

/**
 * The same on another thread, which gives way to this one where they share cores. Environment and shared weights must live until it has ended.
 * @throws Error with ONNX Runtime's message when the graph is not valid.
 */
export async function createSessionApart(environment: OrtEnvironment, path: string, options: SessionOptions = {}): Promise<Session> {
  using thread = new NativeThread(environment.library.path);
  return sessionOf(environment, await thread.do({ kind: 'create session', request: requestOf(environment, path, options) }));
}

/** Of a small graph without external data, as bytes of an ONNX model. @throws Error with ONNX Runtime's message when it is not valid. */
export function createSmallSession(environment: OrtEnvironment, model: Uint8Array): Session {
  return sessionOf(environment, createNativeSession(environment.library, requestOf(environment, model, {})));
}

function sessionOf(environment: OrtEnvironment, pointer: unknown): Session {
  const handle = new NativeHandle('session', pointer, (session) => environment.library.call('ReleaseSession', session));
  return {
    createBinding: () => createBinding(environment, handle),
    run: (inputs, outputs) => {
      const here = (data: TensorData): unknown => data;
      runNative(environment.library, runOf(environment, handle, { inputs, outputs }, here));
    },
    runApart: async (inputs, outputs) => {
      const memories = new Set<TensorData>();
      const there = (data: TensorData): unknown => {
        memories.add(data);
        return addressOf(data);
      };
      inUse.add(memories);
      try {
        await environment.apart.do({ kind: 'run', request: runOf(environment, handle, { inputs, outputs }, there) });
      } finally {
        inUse.delete(memories);
      }
    },
    dispose: () => handle.dispose(),
    [Symbol.dispose]: () => handle.dispose(),
  };
}

/** Memory of runs on the other thread, which knows addresses only: it stays referenced until they have ended. */
const inUse = new Set<ReadonlySet<TensorData>>();

function runOf(
  { runOptions, memoryInfo }: OrtEnvironment,
  session: NativeHandle,
  { inputs, outputs }: { readonly inputs: readonly NamedData[]; readonly outputs: readonly NamedData[] },
  place: (data: TensorData) => unknown,
): NativeRunRequest {
  const tensor = ({ name, type, shape, data }: NamedData): NamedTensor => {
    const parts = memoryOf(type, shape, 'byteLength' in data ? [data] : data);
    return { name, type, shape, parts: parts.map((part) => ({ data: place(part), bytes: part.byteLength })) };
  };
  return {
    session: session.pointer,
    runOptions: runOptions.pointer,
    memoryInfo: memoryInfo.pointer,
    inputs: inputs.map(tensor),
    outputs: outputs.map(tensor),
  };
}

function requestOf(
  { handle, packedWeights }: OrtEnvironment,
  graph: string | Uint8Array,
  { weights, config, profilePrefix }: SessionOptions,
): NativeSessionRequest {
  const values = weights?.names.map((name): readonly [string, unknown] => {
    const tensor = weights.shared.tensors.get(name);
    if (!tensor) throw new Error(`the weights file has no ${name}`);
    return [name, tensor.handle.pointer];
  });
  return {
    environment: handle.pointer,
    graph,
    config: config ?? {},
    profilePrefix: profilePrefix ?? null,
    shared: weights && values ? { values, container: packedWeights.pointer } : null,
  };
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
