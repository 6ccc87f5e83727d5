// The engine process as the front runs it: supervised, restarted when it dies, spoken to through an EngineClient.
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Settings } from '../config/index.ts';
import { AppError, machineMemory, systemClock, type Logger } from '../core/index.ts';
import { adapterMemory, RemoteEngineClient, type EngineOptions, type FromEngine, type ToEngine } from '../engine/index.ts';
import { hugePages, Supervisor } from '../processes/index.ts';
import type { FrontBase } from './front-base.ts';

export interface FrontEngine {
  readonly client: RemoteEngineClient;
  /** Resolves when the engine takes requests. @throws AppError `engine_unavailable` when it cannot start. */
  whenReady(): Promise<void>;
  /** Ends the engine; what it still runs fails. */
  stop(): Promise<void>;
}

/** An engine that dies so often before it was ever ready will not come up by another try. */
const START_ATTEMPTS = 3;

export function startFrontEngine(settings: Settings, base: FrontBase, blobFolder: string, logger: Logger): FrontEngine {
  const options = engineOptions(settings, base, blobFolder);
  const supervisor = new Supervisor<ToEngine, FromEngine>({
    name: 'engine',
    command: { entry: entryPath(), args: [JSON.stringify(options)], environment: hugePages() },
    protocol: { ping: { kind: 'ping' }, shutdown: { kind: 'shutdown' }, isReady: (message) => message.kind === 'ready' },
    clock: systemClock,
    logger,
  });
  const client = new RemoteEngineClient(supervisor, { maxOpenRequests: settings.maxBatch + settings.maxWaiting });
  const attemptsSpent = new Promise<never>((_resolve, reject) => {
    let attempts = 0;
    supervisor.onDown(() => {
      attempts += 1;
      if (attempts === START_ATTEMPTS) {
        reject(new AppError('engine_unavailable', `the engine process ended ${attempts} times before it was ready; its log says why`));
      }
    });
  });
  // Only a start waits for this; an engine that dies later is the supervisor's matter.
  attemptsSpent.catch(() => undefined);
  supervisor.start();
  return {
    client,
    whenReady: async () => {
      await Promise.race([client.whenReady(), attemptsSpent]);
    },
    stop: () => supervisor.stop(),
  };
}

function engineOptions(settings: Settings, base: FrontBase, blobFolder: string): EngineOptions {
  return {
    modelFolder: base.model.folder,
    precision: base.forms.decode,
    ...(base.forms.second !== null && { secondForm: base.forms.second }),
    kvPrecision: base.forms.kv,
    device: base.device,
    threadCount: settings.threadCount ?? availableParallelism(),
    maxBatch: settings.maxBatch,
    maxContext: base.maxContext,
    maxWaiting: settings.maxWaiting,
    prefillChunk: settings.prefillChunk,
    maxStretch: settings.maxStretch,
    speculation: settings.speculation,
    kvCacheBytes: settings.kvCacheBytes,
    prefixCacheBytes: settings.prefixCacheBytes,
    adapterHostBytes: settings.adapterHostBytes ?? adapterMemory(machineMemory()),
    mergedMax: settings.mergedMax,
    mergedFolder: join(settings.dataDir, 'merged'),
    blobFolder,
    logLevel: settings.logLevel,
    ...(settings.ortLibrary !== null && { ortLibrary: settings.ortLibrary }),
  };
}

/** The engine's entry beside this file: source under a loader, compiled otherwise. */
function entryPath(): string {
  return join(import.meta.dirname, import.meta.filename.endsWith('.ts') ? 'engine.ts' : 'engine.js');
}
