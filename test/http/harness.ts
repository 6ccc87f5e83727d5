// The HTTP app over a fake model: real tenants, registry and engine code in one process, a byte tokenizer, and a model that says what the
// prompt asks for: after "say:" it repeats the rest of that line, then ends. Other prompts get letters that depend on adapter and history.
import { readFile } from 'node:fs/promises';
import { createInsights, openAdapterRegistry, type AdapterRegistry } from '../../src/adapters/index.ts';
import { decodePacked } from '../../src/adapters/packed.ts';
import {
  parseAdapterName,
  parseTenantId,
  silentLogger,
  systemClock,
  systemRandom,
  type AdapterName,
  type TenantId,
} from '../../src/core/index.ts';
import type { EngineClient } from '../../src/engine/index.ts';
import { createApp, type AppServices, type ServedBase } from '../../src/http/index.ts';
import { openMemoryStorage, type Storage } from '../../src/storage/index.ts';
import { createTenantDirectory, type Role, type TenantDirectory } from '../../src/tenants/index.ts';
import { createGrammarChecker, GrammarThread, type Tokenizer } from '../../src/text/index.ts';
import { checkRows, openTraining, type Training } from '../../src/training/jobs/index.ts';
import type { RowText } from '../../src/training/index.ts';
import { pino } from 'pino';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { type AdapterFilePair, plainAdapter } from '../support/adapter-files.ts';
import { adapterForm } from '../support/api.ts';
import { FakeExecutor } from '../support/fake-executor.ts';
import { fillHashLogits } from '../support/fake-logits.ts';
import { BYTE_GRAMMARS } from '../support/grammar-thread.ts';
import { SimulatedTrainer } from '../support/simulated-trainer.ts';
import { createInProcessClient, type InProcessEngine } from '../support/in-process-engine.ts';
import { makeTemporaryFolder } from './temporary.ts';
import { llamaDescription } from '../support/tiny-base.ts';

const HIDDEN_SIZE = 8;
export const END_OF_TEXT = 257;
const VOCABULARY_SIZE = 258;
const MAX_CONTEXT = 1024;

export const DESCRIPTION = llamaDescription({
  id: 'test-base',
  digest: 'c'.repeat(64) as ServedBase['digest'],
  layerCount: 1,
  hiddenSize: HIDDEN_SIZE,
  keyValueSize: 4,
  headSize: 4,
  mlpSize: 16,
  vocabularySize: VOCABULARY_SIZE,
});

/** A token a byte; 256 and 257 are special. */
export const byteTokenizer: Tokenizer = {
  vocabularySize: VOCABULARY_SIZE,
  encode: (text) => [...Buffer.from(text, 'utf8')],
  decode: (ids, options) => decodeBytes(ids.filter((id) => id < 256 || options?.skipSpecial === false)),
  tokenBytes: (id) => (id < 256 ? Uint8Array.of(id) : Buffer.from(specialText(id))),
  isSpecial: (id) => id >= 256,
  eosTokenId: END_OF_TEXT,
  bosTokenId: null,
  addBos: false,
};

function specialText(id: number): string {
  return id === END_OF_TEXT ? '<|end|>' : '<|start|>';
}

function decodeBytes(ids: readonly number[]): string {
  return Buffer.concat(ids.map((id) => byteTokenizer.tokenBytes(id))).toString('utf8');
}

function fillLogits(line: Float32Array, history: readonly number[], adapterKey: number): void {
  const text = Buffer.from(history.map((id) => Math.min(id, 255))).toString('latin1');
  const start = text.lastIndexOf('say:');
  const lineEnd = start < 0 ? -1 : text.indexOf('\n', start);
  fillHashLogits(line, history, adapterKey);
  for (let id = 0; id < line.length; id += 1) if (id < 97 || id > 122) line[id] = -20;
  if (lineEnd < 0) return;
  const script = text.slice(start + 4, lineEnd);
  const position = text.length - lineEnd - 1;
  line[position < script.length ? script.charCodeAt(position) : END_OF_TEXT] = 10;
}

export interface HttpHarness extends AsyncDisposable {
  readonly app: Awaited<ReturnType<typeof createApp>>;
  readonly services: AppServices;
  readonly adapters: AdapterRegistry;
  readonly tenants: TenantDirectory;
  /** The engine over the fake model; null when the test gave its own client. */
  readonly engine: InProcessEngine | null;
  /** Lines that were logged. */
  readonly log: readonly string[];
  /** Uploads through the registry; another seed is another content. */
  publish(tenant: string, adapter: string, seed: number): Promise<void>;
}

export interface HarnessOptions {
  readonly client?: EngineClient;
  readonly uploadMaxBytes?: number;
  readonly importFolder?: string;
  readonly isDraining?: () => boolean;
  /** Default: one whose steps follow by themselves. */
  readonly trainer?: SimulatedTrainer;
  /** Default: `byteTokenizer`. The fake model's token ids are bytes. */
  readonly tokenizer?: Tokenizer;
}

export async function openHarness(options: HarnessOptions = {}): Promise<HttpHarness> {
  const folder = makeTemporaryFolder();
  const storage = openMemoryStorage(folder.path);
  const tenants = createTenantDirectory({ keys: storage.keys });
  const unreadable = (): Promise<never> => Promise.reject(new Error('the plain adapters of these tests need no weights'));
  const weights = { readWeight: unreadable, readTensor: unreadable };
  const source = { load: async (digest: ServedBase['digest']) => decodePacked(new Uint8Array(await readFile(storage.blobs.path(digest)))) };
  const constraints = new GrammarThread(BYTE_GRAMMARS);
  const executor = new FakeExecutor({ vocabularySize: VOCABULARY_SIZE, maxContext: MAX_CONTEXT, fillLogits });
  const engine = options.client === undefined ? await createInProcessClient({ executor, adapters: source, constraints }) : null;
  const client = options.client ?? engine?.client;
  if (client === undefined) throw new Error('no engine');
  const adapters = await openAdapterRegistry({
    storage,
    base: DESCRIPTION,
    weights,
    maxRank: 64,
    importFolder: options.importFolder ?? null,
    onPlacements: (placements) => client.place(placements),
    onPins: (digests) => client.pin(digests),
  });
  const training = await openHarnessTraining({
    storage,
    adapters,
    trainer: options.trainer,
    tokenizer: options.tokenizer,
    folder: folder.path,
  });
  const log: string[] = [];
  const logSink = new Writable({ write: (chunk, _encoding, done) => done(void log.push(String(chunk))) });
  const services: AppServices = {
    settings: {
      host: '127.0.0.1',
      publicUrl: null,
      uploadMaxBytes: options.uploadMaxBytes ?? 1 << 20,
      trainingFileMaxBytes: 1 << 16,
      maxBatch: 4,
      maxWaiting: 16,
    },
    base: servedBase(options.tokenizer ?? byteTokenizer),
    engine: client,
    adapters,
    insights: createInsights(DESCRIPTION, { ...weights, readWeight: () => Promise.resolve(new Float32Array(HIDDEN_SIZE ** 2).fill(1)) }),
    grammars: createGrammarChecker(BYTE_GRAMMARS),
    training,
    tenants,
    logger: pino({ level: 'debug' }, logSink),
    clock: systemClock,
    random: systemRandom,
    version: '0.0.0-test',
    isDraining: options.isDraining ?? (() => false),
  };
  const app = await createApp(services);
  return {
    app,
    services,
    adapters,
    tenants,
    engine,
    log,
    publish: async (tenant, adapter, seed) => {
      const { config, tensors } = plainAdapter(seed, HIDDEN_SIZE);
      const parts = [
        { fileName: 'adapter_config.json', path: folder.write(adapters.uploadFolder, config) },
        { fileName: 'adapter_model.safetensors', path: folder.write(adapters.uploadFolder, tensors) },
      ] as const;
      await adapters.upload(tenantId(tenant), adapterName(adapter), parts, { activate: true });
    },
    [Symbol.asyncDispose]: async () => {
      // A client that was aborted may hold a fresh connection, for which closing would wait.
      const closed = app.close();
      app.server.closeAllConnections();
      await closed;
      await training.close(0);
      engine?.close();
      constraints.stop();
      folder.remove();
    },
  };
}

interface HarnessTraining {
  readonly storage: Storage;
  readonly adapters: AdapterRegistry;
  readonly trainer: SimulatedTrainer | undefined;
  readonly tokenizer: Tokenizer | undefined;
  readonly folder: string;
}

/** An adapter that a simulated job ends with. */
export function trainedAdapter(seed: number): AdapterFilePair {
  return plainAdapter(seed, HIDDEN_SIZE);
}

async function openHarnessTraining({ storage, adapters, trainer, tokenizer = byteTokenizer, folder }: HarnessTraining): Promise<Training> {
  const text: RowText = { tokenizer, template: servedBase(tokenizer).chatTemplate, stopTokenIds: [END_OF_TEXT] };
  return await openTraining({
    storage,
    adapters,
    base: DESCRIPTION,
    limits: {
      sites: DESCRIPTION.sites,
      maxContext: MAX_CONTEXT,
      maxRank: 64,
      maxSteps: 1000,
      maxRows: 50,
      maxTokens: 5000,
      maxOpenJobs: 8,
    },
    checker: { check: (path, limits) => checkRows(path, text, limits) },
    trainer: trainer ?? new SimulatedTrainer({ adapter: trainedAdapter, runs: true }),
    jobsFolder: join(folder, 'jobs'),
    order: { modelFolder: 'none', threadCount: 1, memoryBudgetBytes: 1, checkpointSteps: 2 },
    answerWithinMs: 10_000,
    leaseMs: 60_000,
    maxDeaths: 3,
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
  });
}

function servedBase(tokenizer: Tokenizer): ServedBase {
  return {
    id: DESCRIPTION.id,
    digest: DESCRIPTION.digest,
    vocabularySize: VOCABULARY_SIZE,
    maxContext: MAX_CONTEXT,
    stopTokenIds: [END_OF_TEXT],
    createdAtMs: 0,
    tokenizer,
    chatTemplate: { render: (messages) => `${messages.map((message) => message.content).join('\n')}\n` },
    precision: 'fp32',
    device: 'cpu',
  };
}

export function tenantId(text: string): TenantId {
  const tenant = parseTenantId(text);
  if (tenant === undefined) throw new Error(`"${text}" is no tenant id`);
  return tenant;
}

export function adapterName(text: string): AdapterName {
  const name = parseAdapterName(text);
  if (name === undefined) throw new Error(`"${text}" is no adapter name`);
  return name;
}

/** Creates a key and answers the header that carries it. */
export function keyHeader(harness: HttpHarness, tenant: string, role: Role): { readonly authorization: string } {
  return { authorization: `Bearer ${harness.tenants.createKey(tenantId(tenant), role).secret}` };
}

/** A multipart body with the two files of a plain adapter, or with the given parts. */
export function uploadBody(seed: number): Promise<{ readonly payload: Buffer; readonly headers: Readonly<Record<string, string>> }> {
  return multipart(adapterForm(plainAdapter(seed, HIDDEN_SIZE)));
}

export async function multipart(form: FormData): Promise<{ readonly payload: Buffer; readonly headers: Readonly<Record<string, string>> }> {
  const encoded = new Response(form);
  return { payload: Buffer.from(await encoded.arrayBuffer()), headers: { 'content-type': encoded.headers.get('content-type') ?? '' } };
}
