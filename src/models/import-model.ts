// Imports a base model: copies its source into a package, checks that it can be read as a model, and writes model.json last.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { constants, copyFile, link, mkdir, open, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { llamaCheckpointTensors } from '../architectures/index.ts';
import { AppError, type Digest, isAppError, isName, NAME_RULE } from '../core/index.ts';
import { FormatError } from '../formats/index.ts';
import { createTokenizer } from '../text/index.ts';
import { HUGGING_FACE_FILES, openCheckpoint, readBaseFacts } from './base-source.ts';
import { ensureCompiled } from './compile-model.ts';
import type { Precision } from './compiled-model.ts';
import { type ModelPackage, openModelPackage } from './model-package.ts';
import { type Calibrator, prepareForms, type PrepareProgress } from './prepare-forms.ts';
import { formsOf, type WantedForms } from './serving-forms.ts';
import { RECORD_FILE, RECORD_VERSION, type PackageRecord, type SourceFile } from './package-record.ts';

export interface ImportProgress {
  readonly stage: 'copy' | PrepareProgress['stage'];
  readonly done: number;
  readonly total: number;
}

export interface ImportOptions {
  /** A GGUF file or a folder in Hugging Face layout. */
  readonly source: string;
  /** Public id of the model; adapters and requests name the base by it. */
  readonly id: string;
  readonly modelsDir: string;
  /** Compiled right away; others are compiled when they are first served. */
  readonly precisions?: readonly Precision[];
  /** Made right away as well: the forms that serving with these settings will want on this machine. */
  readonly servedWith?: { readonly forms: WantedForms; readonly calibrate: Calibrator };
  /** The source is ours (a download): it may be linked instead of copied. */
  readonly mayLink?: boolean;
  readonly onProgress?: (progress: ImportProgress) => void;
}

/**
 * Imports a model into `<modelsDir>/<id>`, replacing an older import of the same id.
 * @throws AppError `invalid_request` that names the file and the problem; nothing is left behind then.
 */
export async function importModel(options: ImportOptions): Promise<ModelPackage> {
  const { id, modelsDir, onProgress } = options;
  if (!isName(id)) throw new AppError('usage', `"${id}" cannot be a model id; expected ${NAME_RULE}`);
  const kind = await sourceKind(options.source);
  const work = join(modelsDir, `.import-${id}-${process.pid}`);
  await rm(work, { recursive: true, force: true });
  await mkdir(join(work, 'source'), { recursive: true });
  try {
    const sourceFiles = await copySource(options, kind, join(work, 'source'));
    await checkSource(kind, join(work, 'source'), sourceFiles);
    const record: PackageRecord = {
      format: 'lorikeet-model',
      version: RECORD_VERSION,
      id,
      digest: identityOf(sourceFiles),
      createdAtMs: Date.now(),
      sourceKind: kind,
      sourceFiles,
    };
    await writeDurable(join(work, RECORD_FILE), `${JSON.stringify(record, null, 2)}\n`);
    await replaceFolder(work, join(modelsDir, id));
  } catch (error) {
    await rm(work, { recursive: true, force: true });
    throw translated(error);
  }
  const opened = await openModelPackage(join(modelsDir, id));
  for (const precision of options.precisions ?? [])
    await ensureCompiled(opened, precision, (done, total) => onProgress?.({ stage: 'compile', done, total }));
  if (options.servedWith) {
    const { forms, calibrate } = options.servedWith;
    await prepareForms(opened, formsOf(opened, forms), { calibrate, ...(onProgress && { onProgress }) });
  }
  return opened;
}

async function sourceKind(path: string): Promise<'gguf' | 'huggingface'> {
  const entry = await stat(path).catch((cause: unknown) => {
    throw new AppError('usage', `${path} does not exist; expected a GGUF file or a folder with config.json and *.safetensors`, { cause });
  });
  return entry.isDirectory() ? 'huggingface' : 'gguf';
}

async function copySource(
  { source, mayLink, onProgress }: ImportOptions,
  kind: 'gguf' | 'huggingface',
  target: string,
): Promise<readonly SourceFile[]> {
  const paths = kind === 'gguf' ? [source] : await folderFiles(source);
  const files: SourceFile[] = [];
  for (const [index, path] of paths.entries()) {
    const name =
      basename(path)
        .replaceAll(/[^A-Za-z0-9._-]/g, '_')
        .replace(/^[._-]+/, '') || 'model.gguf';
    const copy = join(target, name);
    const linked =
      mayLink === true &&
      (await link(path, copy).then(
        () => true,
        () => false,
      ));
    if (!linked) await copyFile(path, copy, constants.COPYFILE_FICLONE);
    files.push({ name, bytes: (await stat(copy)).size, sha256: await fileDigest(copy) });
    onProgress?.({ stage: 'copy', done: index + 1, total: paths.length });
  }
  return files;
}

async function folderFiles(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder);
  const wanted = names.filter((name) => HUGGING_FACE_FILES.includes(name) || name.endsWith('.safetensors')).toSorted();
  return wanted.map((name) => join(folder, name));
}

/** Reads configuration, tokenizer and every tensor's presence, so that a broken source is refused before it is named. */
async function checkSource(kind: 'gguf' | 'huggingface', folder: string, files: readonly SourceFile[]): Promise<void> {
  const path = kind === 'gguf' ? join(folder, files[0]?.name ?? '') : folder;
  const { config, tokenizer } = await readBaseFacts(kind, path);
  const { vocabularySize } = createTokenizer(tokenizer);
  if (vocabularySize > config.vocabularySize) {
    throw new AppError(
      'invalid_request',
      `the tokenizer has ${vocabularySize} tokens, the model's embedding only ${config.vocabularySize}`,
    );
  }
  await using checkpoint = await openCheckpoint(kind, path, config);
  const missing = llamaCheckpointTensors(config).filter(({ name }) => !checkpoint.has(name));
  if (missing.length > 0) {
    const shown = missing.slice(0, 3).map(({ name }) => name);
    throw new AppError(
      'invalid_request',
      `the checkpoint lacks ${missing.length} tensors that its configuration asks for, among them ${shown.join(', ')}`,
    );
  }
}

/** Identity of the weights and all that decides how they are used: file contents, not their names' order or dates. */
function identityOf(files: readonly SourceFile[]): Digest {
  if (files.length === 1 && files[0]) return files[0].sha256;
  const hash = createHash('sha256');
  for (const { name, sha256 } of files.toSorted((a, b) => (a.name < b.name ? -1 : 1))) hash.update(`${name} ${sha256}\n`);
  return hash.digest('hex') as Digest;
}

async function fileDigest(path: string): Promise<Digest> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex') as Digest;
}

async function writeDurable(path: string, text: string): Promise<void> {
  await writeFile(path, text);
  const file = await open(path, 'r+');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Two renames: a reader sees the old package, none, or the new one, but never a mixture. */
async function replaceFolder(from: string, to: string): Promise<void> {
  const old = `${to}.old-${process.pid}`;
  await rm(old, { recursive: true, force: true });
  await rename(to, old).catch(() => undefined);
  await rename(from, to);
  await rm(old, { recursive: true, force: true });
}

function translated(error: unknown): unknown {
  if (isAppError(error) || !(error instanceof FormatError)) return error;
  return new AppError('invalid_request', `the model cannot be imported: ${error.message}`, { cause: error });
}
