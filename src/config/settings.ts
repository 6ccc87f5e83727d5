// The one table of settings: key, kind, default, meaning. Types, flags, environment names and the printed list all come from it.
import { byteSize, decimal, httpUrl, integer, oneOf, orWord, text, type ValueKind } from './value-kinds.ts';

interface SettingRow<T> {
  readonly kind: ValueKind<T>;
  readonly standard: T;
  readonly description: string;
}

function setting<T>(kind: ValueKind<T>, standard: T, description: string): SettingRow<T> {
  return { kind, standard, description };
}

const KIB = 1024;
const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
const TIB = 1024 ** 4;

export const SETTING_ROWS = {
  host: setting(text(), '127.0.0.1', 'address to listen on; other than loopback needs an API key'),
  port: setting(integer(0, 65_535), 8080, 'port to listen on; 0 picks a free one'),
  dataDir: setting(text(), 'adapters/store', 'folder of the database, blobs and uploads'),
  modelsDir: setting(text(), 'models', 'folder of imported base models'),
  model: setting(text(), 'smollm2-135m-instruct', 'id of the base model to serve'),
  samplesDir: setting(orWord(text(), 'none'), 'adapters/samples', 'folder of sample adapters that every tenant may use'),
  adapterImportDir: setting(orWord(text(), 'none'), null, 'folder whose adapters /v1/load_lora_adapter may take by path'),
  device: setting(oneOf('auto', 'cpu', 'webgpu', 'cuda'), 'auto', 'where the model runs'),
  precision: setting(
    oneOf('auto', 'fp32', 'int8', 'int4', 'w8a8'),
    'auto',
    'precision of the base weights; auto is int8; w8a8 is faster for many tokens a call',
  ),
  prefillPrecision: setting(
    oneOf('auto', 'same', 'fp32'),
    'auto',
    'precision of calls of many tokens; where memory is ample, auto is w8a8 on processors with int8 dot products and fp32 on others',
  ),
  kvPrecision: setting(
    oneOf('fp32', 'int8'),
    'fp32',
    'precision of cached keys and values; int8 holds four times the positions in the same memory, but reads long prompts slower',
  ),
  threadCount: setting(orWord(integer(1, 1024), 'auto'), null, 'threads of ONNX Runtime'),
  maxBatch: setting(integer(1, 1024), 16, 'rows of the running batch'),
  maxContext: setting(orWord(integer(16, 1_048_576), 'auto'), null, 'positions of one request; auto is the limit of the model'),
  maxWaiting: setting(integer(0, 1_000_000), 1024, 'requests that may wait for a row; more are answered 503'),
  prefillChunk: setting(integer(1, 4096), 256, 'prompt tokens of one call of the model at most'),
  maxStretch: setting(decimal(1, 100), 2, 'how many times longer the time between tokens may get on average while prompts are read'),
  speculation: setting(
    oneOf('off', 'prompt-lookup'),
    'off',
    'drafts for a request that runs alone, from its own text; the output is the same',
  ),
  kvCacheBytes: setting(byteSize(MIB, 64 * TIB), 2 * GIB, 'memory for keys and values'),
  prefixCacheBytes: setting(byteSize(0, 64 * TIB), 256 * MIB, 'memory for beginnings of prompts that may come again; 0 keeps none'),
  adapterHostBytes: setting(
    orWord(byteSize(MIB, 64 * TIB), 'auto'),
    null,
    'memory for adapters that no request uses now; auto is an eighth of the memory, 512 MiB at least',
  ),
  adapterMaxRank: setting(integer(1, 4096), 256, 'largest rank of an adapter'),
  mixCacheBytes: setting(byteSize(0, 64 * TIB), GIB, 'disk for mixes of adapters that no request uses now'),
  mergedMax: setting(integer(0, 64), 1, 'adapters that may be merged into a session of their own'),
  uploadMaxBytes: setting(byteSize(KIB, TIB), 2 * GIB, 'largest file of an upload'),
  trainingFileMaxBytes: setting(byteSize(KIB, TIB), 512 * MIB, 'largest file of training rows'),
  trainingMaxRows: setting(integer(1, 100_000_000), 1_000_000, 'rows of one training file'),
  trainingMaxTokens: setting(integer(1, 100_000_000_000), 100_000_000, 'tokens of one training file, read once'),
  trainingMaxSteps: setting(integer(1, 10_000_000), 100_000, 'optimizer steps of one training job'),
  trainingMaxJobs: setting(integer(1, 1_000_000), 100, 'training jobs of one tenant that have not ended; more are answered 429'),
  trainerThreads: setting(
    orWord(integer(1, 1024), 'auto'),
    null,
    'threads of the trainer process, which runs at the lowest priority; auto is one a core',
  ),
  trainerMemoryBytes: setting(
    byteSize(MIB, 64 * TIB),
    GIB,
    'memory that a training step may keep for its backward pass; beyond it computes again',
  ),
  trainerCheckpointSteps: setting(integer(1, 1_000_000), 20, 'optimizer steps between two checkpoints'),
  trainerSilenceSeconds: setting(
    integer(10, 86_400),
    300,
    'silence after which the trainer process is ended and its job goes on from a checkpoint',
  ),
  trainerAttempts: setting(
    integer(1, 1000),
    5,
    'ends of the trainer process at one job, without a checkpoint between them, that fail the job',
  ),
  drainSeconds: setting(integer(0, 3600), 30, 'time that running requests get at shutdown'),
  ortLibrary: setting(orWord(text(), 'bundled'), null, 'path of another ONNX Runtime library'),
  hubEndpoint: setting(httpUrl(), 'https://huggingface.co', 'model hub to pull from; HF_ENDPOINT is used when this is not given'),
  publicUrl: setting(orWord(httpUrl(), 'none'), null, 'address that clients use, where it differs from host and port'),
  logLevel: setting(oneOf('fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'), 'info', 'least severe log lines to write'),
} as const;

export type SettingKey = keyof typeof SETTING_ROWS;

type ValueOf<Row> = Row extends SettingRow<infer T> ? T : never;

/** Every setting with its final value; frozen. */
export type Settings = { readonly [Key in SettingKey]: ValueOf<(typeof SETTING_ROWS)[Key]> };

export const SETTING_KEYS = Object.keys(SETTING_ROWS).filter(isSettingKey);

export function isSettingKey(key: string): key is SettingKey {
  return Object.hasOwn(SETTING_ROWS, key);
}

/** `dataDir` → `data-dir`. */
export function flagName(key: SettingKey): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** `dataDir` → `LORIKEET_DATA_DIR`. */
export function environmentName(key: SettingKey): string {
  return `LORIKEET_${key.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

/** Environment names that other tools gave to the same thing. They count least, and an empty one does not count. */
export const SHARED_ENVIRONMENT_NAMES: Readonly<Partial<Record<SettingKey, string>>> = { hubEndpoint: 'HF_ENDPOINT' };

/** A row of the table whose value type is not known; what is written is its own default. */
interface AnyRow {
  readonly kind: Pick<ValueKind<never>, 'rule' | 'write'>;
  readonly standard: unknown;
  readonly description: string;
}

export interface SettingInfo {
  readonly key: SettingKey;
  /** Without the two dashes. */
  readonly flag: string;
  readonly environment: string;
  readonly description: string;
  /** What values are allowed, in words. */
  readonly rule: string;
  /** The default as one would write it. */
  readonly standardText: string;
}

/** What a command line needs to offer every setting as a flag with help. */
export function settingInfos(): readonly SettingInfo[] {
  return SETTING_KEYS.map((key) => {
    const row: AnyRow = SETTING_ROWS[key];
    return {
      key,
      flag: flagName(key),
      environment: environmentName(key),
      description: row.description,
      rule: row.kind.rule,
      standardText: row.kind.write(row.standard as never),
    };
  });
}
