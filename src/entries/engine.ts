// The engine process: one base model on one device. Opens no socket, touches no database, sees no key.
import { access } from 'node:fs/promises';
import { setFlagsFromString } from 'node:v8';
import { pino } from 'pino';
import { describeError, type Logger, systemClock } from '../core/index.ts';
import { createOrtExecutor, createPackedSource, MergedForms } from '../engine/executor/index.ts';
import { type EngineOptions, type FromEngine, hostEngine, type ModelExecutor, type ToEngine } from '../engine/index.ts';
import { type CompiledModel, type KvPrecision, openCompiled, type Precision } from '../models/index.ts';
import { connectToParent } from '../processes/index.ts';
import { GrammarThread } from '../text/index.ts';
import { grammarThreadOptions } from './grammars.ts';
import { childMerger, packedPath } from './merger.ts';

/**
 * V8 counts the adapters that come and go, tens of megabytes each, as a reason to collect a heap of 25: 80 whole collections a minute under `bench load`, whose
 * threads took the cores from calls. With this much room they are 23.
 */
const HEAP_GROWING_PERCENT = 400;
setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`);

/** Longer than the front's: what was compiled there will compile here, where sessions take the cores. */
const GRAMMAR_SILENCE_MS = 30_000;

/** Merged forms on disk for each place: an adapter that was merged before comes back without being made again. */
const KEPT_FORMS = 4;

/** How often forms of adapters that were removed are looked for. */
const SWEEP_INTERVAL_MS = 60_000;

function sweepRegularly(forms: MergedForms, logger: Logger): void {
  const sweep = (): void => {
    forms.sweep().catch((error: unknown) => logger.error({ err: error }, 'removing old merged forms failed'));
  };
  sweep();
  setInterval(sweep, SWEEP_INTERVAL_MS).unref();
}

async function openForm(folder: string, precision: Precision, kv: KvPrecision): Promise<CompiledModel> {
  const model = await openCompiled(folder, precision, kv);
  if (!model) throw new Error(`no current ${precision} form with a ${kv} cache of the base model is compiled in ${folder}`);
  return model;
}

async function openExecutor(
  { modelFolder, precision, secondForm, kvPrecision, ...options }: EngineOptions,
  logger: Logger,
): Promise<ModelExecutor> {
  const model = await openForm(modelFolder, precision, kvPrecision);
  const mergedForms = new MergedForms({
    folder: options.mergedFolder,
    base: model,
    make: childMerger({ modelFolder, precision, kvPrecision, blobFolder: options.blobFolder }),
    isStored: async (digest) =>
      await access(packedPath(options.blobFolder, digest)).then(
        () => true,
        () => false,
      ),
    keepCount: options.mergedMax * KEPT_FORMS,
    clock: systemClock,
  });
  sweepRegularly(mergedForms, logger);
  const secondModel = secondForm && (await openForm(modelFolder, secondForm, kvPrecision));
  return createOrtExecutor({
    clock: systemClock,
    model,
    ...(secondModel && { secondModel }),
    mergedForms,
    threadCount: options.threadCount,
    allowSpinning: true,
    maxRows: options.maxBatch,
    maxContext: options.maxContext,
    ...(options.ortLibrary !== undefined && { libraryPath: options.ortLibrary }),
  });
}

async function main(): Promise<void> {
  const parent = connectToParent<ToEngine, FromEngine>();
  const options = JSON.parse(process.argv[2] ?? '{}') as EngineOptions;
  const logger = pino({ name: 'engine', level: options.logLevel }, pino.destination(2));
  try {
    const executor = await openExecutor(options, logger);
    const adapters = createPackedSource(options.blobFolder);
    const identity = { device: options.device, precision: options.precision };
    const constraints = new GrammarThread(grammarThreadOptions(options.modelFolder, GRAMMAR_SILENCE_MS, logger));
    hostEngine(
      parent,
      { executor, adapters, constraints, clock: systemClock, logger },
      { identity, limits: options, onShutdown: () => parent.close() },
    );
  } catch (error) {
    logger.error({ err: error }, 'the engine could not start');
    parent.send({ kind: 'startup-failed', message: describeError(error) });
    parent.close();
    process.exitCode = 1;
  }
}

await main();
