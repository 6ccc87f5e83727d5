// The front process: opens storage, model and registry, supervises the engine, listens, and drains at the end. Composition only.
import { existsSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import closeWithGrace from 'close-with-grace';
import { destination, pino, type Logger as PinoLogger } from 'pino';
import { openAdapterRegistry, publishSamples, type AdapterRegistry } from '../adapters/index.ts';
import type { Settings } from '../config/index.ts';
import { AppError, describeError, systemClock, systemRandom } from '../core/index.ts';
import { createApp, type AppServices } from '../http/index.ts';
import { openStorage, type Storage } from '../storage/index.ts';
import { createTenantDirectory, type TenantDirectory } from '../tenants/index.ts';
import { createGrammarChecker } from '../text/index.ts';
import type { Training } from '../training/jobs/index.ts';
import { openFrontBase, serveBase, type FrontBase } from './front-base.ts';
import { startFrontEngine, type FrontEngine } from './front-engine.ts';
import { openFrontTraining } from './front-training.ts';
import { grammarThreadOptions } from './grammars.ts';
import { childInsights } from './insight-runner.ts';
import { threadMixes } from './mix-runner.ts';

export interface RunningServer {
  /** Where clients reach it. */
  readonly url: string;
  /** Resolves when the server has ended, by `close` or by a signal. */
  readonly stopped: Promise<void>;
  /** Takes no new requests, lets running ones finish within the drain time, ends the engine. Idempotent. */
  close(): Promise<void>;
}

/**
 * Starts everything and resolves when requests are answered. SIGTERM and SIGINT drain and end the process; a second signal ends it at once.
 * @throws AppError `usage`, `conflict` or `engine_unavailable` that says what to do; nothing is left running then.
 */
export async function startFront(settings: Settings): Promise<RunningServer> {
  const logger = pino({ level: settings.logLevel }, destination(2));
  const storage = openStorage(settings.dataDir);
  let engine: FrontEngine | null = null;
  let training: Training | null = null;
  try {
    const tenants = createTenantDirectory({ keys: storage.keys });
    refuseOpenNetwork(settings, tenants);
    const base = await openFrontBase(settings, logger);
    engine = startFrontEngine(settings, base, storage.blobs.folder, logger);
    const adapters = await openRegistry({ settings, storage, base, engine, logger });
    training = await openFrontTraining(settings, base, { storage, adapters, logger });
    return await serve({ settings, logger, storage, tenants, base, engine, adapters, training });
  } catch (error) {
    await training?.close(0);
    await engine?.stop();
    storage.close();
    throw error;
  }
}

interface FrontParts {
  readonly settings: Settings;
  readonly logger: PinoLogger;
  readonly storage: Storage;
  readonly tenants: TenantDirectory;
  readonly base: FrontBase;
  readonly engine: FrontEngine;
  readonly adapters: AdapterRegistry;
  readonly training: Training;
}

async function serve(parts: FrontParts): Promise<RunningServer> {
  const { settings, logger, storage, engine, training } = parts;
  let draining = false;
  const app = await createApp(appServices(parts, () => draining));
  let answering = 0;
  app.server.on('request', (_request, response) => {
    answering += 1;
    response.once('close', () => {
      answering -= 1;
    });
  });
  await engine.whenReady();
  await app.listen({ host: settings.host, port: settings.port }).catch(refuseAddress(settings));
  let markStopped = (): void => undefined;
  const stopped = new Promise<void>((resolve) => {
    markStopped = resolve;
  });

  async function drain(): Promise<void> {
    draining = true;
    logger.info({ drainSeconds: settings.drainSeconds }, 'draining');
    // Connections on which nothing is being answered would keep the server open until their keep-alive time is over.
    const idleCloser = setInterval(() => {
      if (answering === 0) app.server.closeAllConnections();
      else app.server.closeIdleConnections();
    }, 100);
    // Ending the engine fails what still runs: streams get an error event, and the server can close.
    const deadline = setTimeout(() => void engine.stop(), settings.drainSeconds * 1000);
    const trainingEnded = training.close(settings.drainSeconds * 1000);
    await app.close();
    clearInterval(idleCloser);
    clearTimeout(deadline);
    await Promise.all([engine.stop(), trainingEnded]);
    storage.close();
    logger.info({}, 'stopped');
    markStopped();
  }

  let shutdown: Promise<void> | null = null;
  const close = (): Promise<void> => (shutdown ??= drain());
  const listener = closeWithGrace({ delay: settings.drainSeconds * 1000 + SHUTDOWN_MARGIN_MS, logger: null }, async ({ err, signal }) => {
    if (err !== undefined) logger.error({ err }, 'ending after an unexpected error');
    else logger.info({ signal }, 'ending');
    await close();
  });
  const address = app.server.address();
  const port = typeof address === 'object' && address !== null ? address.port : settings.port;
  const url = settings.publicUrl ?? `http://${urlHost(settings.host)}:${port}`;
  logger.info({ url, model: settings.model, precision: parts.base.forms.decode }, 'ready');
  return {
    url,
    stopped,
    close: () => {
      listener.uninstall();
      return close();
    },
  };
}

/** After the drain time: for the engine to end and the files to close. */
const SHUTDOWN_MARGIN_MS = 15_000;

/** A grammar that takes longer to compile is refused. */
const GRAMMAR_SILENCE_MS = 10_000;

function appServices(parts: FrontParts, isDraining: () => boolean): AppServices {
  const { settings, logger, tenants, base, engine, adapters, training } = parts;
  return {
    settings,
    base: serveBase(base),
    engine: engine.client,
    adapters,
    insights: childInsights(base.model.folder),
    grammars: createGrammarChecker(grammarThreadOptions(base.model.folder, GRAMMAR_SILENCE_MS, logger)),
    training,
    tenants,
    logger,
    clock: systemClock,
    random: systemRandom,
    version: packageVersion(),
    isDraining,
  };
}

async function openRegistry(parts: Omit<FrontParts, 'tenants' | 'adapters' | 'training'>): Promise<AdapterRegistry> {
  const { settings, storage, base, engine, logger } = parts;
  const { description, weights } = base.model;
  const registry = await openAdapterRegistry({
    storage,
    base: description,
    weights,
    maxRank: settings.adapterMaxRank,
    maxFileBytes: settings.uploadMaxBytes,
    importFolder: settings.adapterImportDir,
    servesMerged: settings.mergedMax > 0,
    onPlacements: (placements) => engine.client.place(placements),
    onPins: (digests) => engine.client.pin(digests),
    onActivated: (digest) => engine.client.prefetch(digest),
    mixCacheBytes: settings.mixCacheBytes,
    computeMix: threadMixes(),
    logger,
  });
  if (settings.samplesDir === null || !existsSync(settings.samplesDir)) return registry;
  try {
    const samples = await publishSamples(registry, settings.samplesDir);
    logger.info({ samples: samples.map((sample) => sample.name) }, 'sample adapters are loaded');
  } catch (error) {
    // Samples belong to one base model; another base is served without them.
    logger.warn({ reason: describeError(error) }, 'the sample adapters do not fit this base model and are not served');
  }
  return registry;
}

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|::1)$/;

function refuseOpenNetwork({ host }: Settings, tenants: TenantDirectory): void {
  if (LOOPBACK.test(host) || tenants.hasKeys()) return;
  const advice = 'create the first key with "lorikeet keys create --role operator", or listen on 127.0.0.1';
  throw new AppError('usage', `host: got "${host}", which others can reach, while there is no API key; ${advice}`, { param: 'host' });
}

function refuseAddress({ host, port }: Settings): (error: unknown) => never {
  return (cause) => {
    throw new AppError('usage', `cannot listen on ${host} port ${port}: ${describeError(cause)}; choose another with --host or --port`, {
      cause,
    });
  };
}

/** A listener on every address is reached by this machine on loopback. */
function urlHost(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return isIP(host) === 6 ? `[${host}]` : host;
}

function packageVersion(): string {
  const manifest = JSON.parse(readFileSync(join(import.meta.dirname, '..', '..', 'package.json'), 'utf8')) as { readonly version: string };
  return manifest.version;
}
