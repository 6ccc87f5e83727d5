// What an engine process is started with; a JSON value on its command line.

export interface EngineOptions {
  /** Folder of the imported base model package. */
  readonly modelFolder: string;
  readonly precision: 'fp32' | 'int8' | 'int4' | 'w8a8';
  /** Another compiled form, for calls of many tokens. */
  readonly secondForm?: 'fp32' | 'w8a8';
  /** Of cached keys and values. */
  readonly kvPrecision: 'fp32' | 'int8';
  readonly device: 'cpu';
  /** Intra-op threads of ONNX Runtime. */
  readonly threadCount: number;
  /** Rows of a running batch. */
  readonly maxBatch: number;
  /** Positions of one request; at most the model's own context. */
  readonly maxContext: number;
  /** Requests that may wait; more are refused as overloaded. */
  readonly maxWaiting: number;
  /** Tokens of one prefill call. */
  readonly prefillChunk: number;
  /** Prompts of others may stretch the time between a row's tokens to this many times what it is without them. */
  readonly maxStretch: number;
  readonly speculation: 'off' | 'prompt-lookup';
  readonly kvCacheBytes: number;
  /** Memory for keys and values of prompts to come; 0 keeps none. */
  readonly prefixCacheBytes: number;
  readonly adapterHostBytes: number;
  /** Adapters that may have a merged session at the same time; 0 merges none. */
  readonly mergedMax: number;
  /** Folder of merged forms of adapters. */
  readonly mergedFolder: string;
  /** Folder of content-addressed blobs; packed adapters are read from it by digest. */
  readonly blobFolder: string;
  /** Path of another ONNX Runtime library; absent: the one inside onnxruntime-node. */
  readonly ortLibrary?: string;
  /** Least level that the process logs, a name of pino's. Its log goes to standard error. */
  readonly logLevel: string;
}

const ADAPTER_MEMORY_SHARE = 1 / 8;
const LEAST_ADAPTER_MEMORY = 512 * 1024 ** 2;

/** Bytes of `adapterHostBytes` where nobody has said how many, of a machine with so many. */
export function adapterMemory(machineBytes: number): number {
  return Math.max(LEAST_ADAPTER_MEMORY, Math.floor(machineBytes * ADAPTER_MEMORY_SHARE));
}
