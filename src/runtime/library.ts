// Loads the ONNX Runtime library and resolves the functions of its C API. Knows pointers and statuses; knows no tensors.
// The C API is a table of function pointers in the fixed, append-only order of onnxruntime_c_api.h.
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import koffi from 'koffi';

/** API version that we ask for; the table only ever grows. */
const API_VERSION = 22;

/** Index in OrtApi and C prototype of every function that we call. `status` functions return an OrtStatus*, null on success. */
const FUNCTIONS = {
  GetErrorMessage: [2, 'str (void* status)'],
  EnableProfiling: [14, 'void* (void* options, str prefix)'],
  CreateSession: [7, 'void* (void* env, str path, void* options, _Out_ void** out)'],
  CreateSessionFromArray: [8, 'void* (void* env, void* model, size_t bytes, void* options, _Out_ void** out)'],
  CreateSessionOptions: [10, 'void* (_Out_ void** out)'],
  DisableMemPattern: [17, 'void* (void* options)'],
  SetSessionGraphOptimizationLevel: [23, 'void* (void* options, int level)'],
  CreateRunOptions: [39, 'void* (_Out_ void** out)'],
  CreateTensorWithDataAsOrtValue: [
    49,
    'void* (void* info, void* data, size_t bytes, int64_t* shape, size_t rank, int type, _Out_ void** out)',
  ],
  CreateCpuMemoryInfo: [69, 'void* (int allocator, int memory, _Out_ void** out)'],
  ReleaseEnv: [92, 'void (void*)'],
  ReleaseStatus: [93, 'void (void*)'],
  ReleaseMemoryInfo: [94, 'void (void*)'],
  ReleaseSession: [95, 'void (void*)'],
  ReleaseValue: [96, 'void (void*)'],
  ReleaseRunOptions: [97, 'void (void*)'],
  ReleaseSessionOptions: [100, 'void (void*)'],
  DisablePerSessionThreads: [120, 'void* (void* options)'],
  CreateEnvWithGlobalThreadPools: [119, 'void* (int level, str id, void* threading, _Out_ void** out)'],
  CreateThreadingOptions: [121, 'void* (_Out_ void** out)'],
  ReleaseThreadingOptions: [122, 'void (void*)'],
  AddSessionConfigEntry: [130, 'void* (void* options, str key, str value)'],
  RunWithBinding: [133, 'void* (void* session, void* run, void* binding)'],
  CreateIoBinding: [134, 'void* (void* session, _Out_ void** out)'],
  ReleaseIoBinding: [135, 'void (void*)'],
  BindInput: [136, 'void* (void* binding, str name, void* value)'],
  BindOutput: [137, 'void* (void* binding, str name, void* value)'],
  SetGlobalIntraOpNumThreads: [147, 'void* (void* threading, int count)'],
  SetGlobalSpinControl: [149, 'void* (void* threading, int allow)'],
  AddInitializer: [150, 'void* (void* options, str name, void* value)'],
  SetGlobalDenormalAsZero: [155, 'void* (void* threading)'],
  CreatePrepackedWeightsContainer: [166, 'void* (_Out_ void** out)'],
  ReleasePrepackedWeightsContainer: [167, 'void (void*)'],
  CreateSessionWithPrepackedWeightsContainer: [168, 'void* (void* env, str path, void* options, void* container, _Out_ void** out)'],
} as const satisfies Record<string, readonly [number, string]>;

export type ApiFunction = keyof typeof FUNCTIONS;
const TABLE_LENGTH = 1 + Math.max(...Object.values(FUNCTIONS).map(([index]) => index));

type Native = (...values: readonly unknown[]) => unknown;

export interface OrtLibrary {
  readonly path: string;
  /** Calls a function that returns a status; throws its message. */
  check(name: ApiFunction, ...values: readonly unknown[]): void;
  /** Calls a function whose last parameter is an output pointer and returns that pointer. */
  create(name: ApiFunction, ...values: readonly unknown[]): unknown;
  /** Calls a function without a status. */
  call(name: ApiFunction, ...values: readonly unknown[]): unknown;
}

/** Libraries stay loaded for ever: unloading one under live pointers crashes. Prototype names are global in koffi, too. */
const loaded = new Map<string, { readonly library: OrtLibrary; readonly keep: readonly unknown[] }>();

/** Path of the library inside the onnxruntime-node package. */
export function bundledLibraryPath(): string {
  const root = dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'));
  const names: Partial<Record<NodeJS.Platform, string>> = {
    linux: 'libonnxruntime.so.1',
    darwin: 'libonnxruntime.1.30.0.dylib',
    win32: 'onnxruntime.dll',
  };
  const name = names[process.platform];
  if (!name) throw new Error(`onnxruntime-node has no library for ${process.platform}; set ortLibrary to one`);
  return join(root, 'bin', 'napi-v6', process.platform, process.arch, name);
}

/** @throws Error naming the path when the file is missing or is no ONNX Runtime of API version 22 or newer. */
export function loadLibrary(path = bundledLibraryPath()): OrtLibrary {
  const known = loaded.get(path);
  if (known) return known.library;
  const file = openLibrary(path);
  const base: unknown = file.func('void* OrtGetApiBase()')();
  const [getApi] = koffi.decode(base, koffi.array('void *', 2)) as [unknown];
  const api: unknown = koffi.call(getApi, koffi.proto('void* (uint32_t version)'), API_VERSION);
  if (api === null) throw new Error(`${path}: this ONNX Runtime is older than API version ${API_VERSION}`);
  const table = koffi.decode(api, koffi.array('void *', TABLE_LENGTH)) as unknown[];
  const functions = new Map<ApiFunction, Native>();
  for (const [name, [index, prototype]] of Object.entries(FUNCTIONS)) {
    functions.set(name as ApiFunction, koffi.decode(table[index], koffi.proto(prototype)) as Native);
  }
  const library = bindCalls(path, functions);
  loaded.set(path, { library, keep: [file, base, api, table] });
  return library;
}

function openLibrary(path: string): ReturnType<typeof koffi.load> {
  try {
    return koffi.load(path);
  } catch (cause) {
    throw new Error(`could not load the ONNX Runtime library ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
}

function bindCalls(path: string, functions: ReadonlyMap<ApiFunction, Native>): OrtLibrary {
  const call = (name: ApiFunction, ...values: readonly unknown[]): unknown => {
    const native = functions.get(name);
    if (!native) throw new Error(`${name}: not resolved`);
    return native(...values);
  };
  const check = (name: ApiFunction, ...values: readonly unknown[]): void => {
    const status = call(name, ...values);
    if (status === null) return;
    const message = String(call('GetErrorMessage', status));
    call('ReleaseStatus', status);
    throw new Error(`ONNX Runtime ${name}: ${message}`);
  };
  const create = (name: ApiFunction, ...values: readonly unknown[]): unknown => {
    const out: unknown[] = [null];
    check(name, ...values, out);
    return out[0];
  };
  return { path, check, create, call };
}
