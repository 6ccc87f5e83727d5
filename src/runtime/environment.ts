// One ONNX Runtime environment of a process: its library, what all its sessions share (one thread pool, packed weights), and CPU memory info.
import { NativeHandle } from './handles.ts';
import { loadLibrary, type OrtLibrary } from './library.ts';
import { NativeThread } from './native-thread.ts';

const LOG_ERROR = 3;
const ARENA_ALLOCATOR = 1;
const DEFAULT_MEMORY = 0;

export interface EnvironmentOptions {
  readonly libraryPath?: string;
  /** Threads of the shared pool, the calling one included. */
  readonly threadCount: number;
  /** Idle pool threads spin for a while before they sleep: lower latency, busier cores. */
  readonly allowSpinning: boolean;
  /**
   * Numbers below 2^-126 count as zero on the pool's threads. For the calling thread, sessions have a configuration entry of their own
   * (`session.set_denormal_as_zero`), which the first session of a process decides.
   */
  readonly flushDenormals?: boolean;
}

export interface OrtEnvironment extends Disposable {
  readonly library: OrtLibrary;
  readonly handle: NativeHandle;
  readonly memoryInfo: NativeHandle;
  readonly runOptions: NativeHandle;
  /** Packed copies of weights, found by what they hold: the same weight in two forms of a base is packed once. */
  readonly packedWeights: NativeHandle;
  /** For runs beside this thread. */
  readonly apart: NativeThread;
  dispose(): void;
}

export function createEnvironment(options: EnvironmentOptions): OrtEnvironment {
  const library = loadLibrary(options.libraryPath);
  const release =
    (name: 'ReleaseEnv' | 'ReleaseMemoryInfo' | 'ReleaseRunOptions' | 'ReleasePrepackedWeightsContainer') => (pointer: unknown) =>
      void library.call(name, pointer);
  using threading = new NativeHandle('threading options', library.create('CreateThreadingOptions'), (pointer) =>
    library.call('ReleaseThreadingOptions', pointer),
  );
  library.check('SetGlobalIntraOpNumThreads', threading.pointer, options.threadCount);
  library.check('SetGlobalSpinControl', threading.pointer, options.allowSpinning ? 1 : 0);
  if (options.flushDenormals === true) library.check('SetGlobalDenormalAsZero', threading.pointer);
  const environment = library.create('CreateEnvWithGlobalThreadPools', LOG_ERROR, 'lorikeet', threading.pointer);
  const handle = new NativeHandle('environment', environment, release('ReleaseEnv'));
  const memoryInfo = new NativeHandle(
    'memory info',
    library.create('CreateCpuMemoryInfo', ARENA_ALLOCATOR, DEFAULT_MEMORY),
    release('ReleaseMemoryInfo'),
  );
  const runOptions = new NativeHandle('run options', library.create('CreateRunOptions'), release('ReleaseRunOptions'));
  const packedWeights = new NativeHandle(
    'packed weights',
    library.create('CreatePrepackedWeightsContainer'),
    release('ReleasePrepackedWeightsContainer'),
  );
  const apart = new NativeThread(library.path);
  const dispose = (): void => {
    apart.dispose();
    packedWeights.dispose();
    runOptions.dispose();
    memoryInfo.dispose();
    handle.dispose();
  };
  return { library, handle, memoryInfo, runOptions, packedWeights, apart, dispose, [Symbol.dispose]: dispose };
}
