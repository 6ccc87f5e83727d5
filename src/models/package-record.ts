// model.json of an imported base model: what was imported, from which bytes, and how it is described. Read back with checks.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, type Digest, isName, parseDigest } from '../core/index.ts';

export const RECORD_FILE = 'model.json';
const RECORD_BYTES = 1 << 20;
/** Counts changes of model.json's own format; older packages are imported again from their source. */
export const RECORD_VERSION = 1;

export interface SourceFile {
  /** Plain file name inside the package's `source` folder. */
  readonly name: string;
  readonly bytes: number;
  readonly sha256: Digest;
}

export interface PackageRecord {
  readonly format: 'lorikeet-model';
  readonly version: typeof RECORD_VERSION;
  readonly id: string;
  readonly digest: Digest;
  readonly createdAtMs: number;
  readonly sourceKind: 'gguf' | 'huggingface';
  readonly sourceFiles: readonly SourceFile[];
}

/** @throws AppError `usage` when there is no readable package in the folder; the message says what to do. */
export async function readRecord(folder: string): Promise<PackageRecord> {
  const text = await readFile(join(folder, RECORD_FILE), 'utf8').catch((cause: unknown) => {
    throw new AppError('usage', `${folder} holds no imported model; run "lorikeet pull" or "lorikeet import" first`, { cause });
  });
  const value: unknown = text.length <= RECORD_BYTES ? parseJson(text) : null;
  if (!isRecord(value))
    throw new AppError('usage', `${join(folder, RECORD_FILE)} is damaged or of another version; import the model again`);
  return value;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function isRecord(value: unknown): value is PackageRecord {
  if (typeof value !== 'object' || value === null) return false;
  const record = value as Partial<Record<keyof PackageRecord, unknown>>;
  return (
    record.format === 'lorikeet-model' &&
    record.version === RECORD_VERSION &&
    typeof record.id === 'string' &&
    isName(record.id) &&
    typeof record.digest === 'string' &&
    parseDigest(record.digest) !== undefined &&
    Number.isSafeInteger(record.createdAtMs) &&
    (record.sourceKind === 'gguf' || record.sourceKind === 'huggingface') &&
    Array.isArray(record.sourceFiles) &&
    record.sourceFiles.length > 0 &&
    record.sourceFiles.every(isSourceFile)
  );
}

function isSourceFile(value: unknown): value is SourceFile {
  if (typeof value !== 'object' || value === null) return false;
  const file = value as Partial<Record<keyof SourceFile, unknown>>;
  return (
    typeof file.name === 'string' &&
    /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(file.name) &&
    Number.isSafeInteger(file.bytes) &&
    typeof file.sha256 === 'string'
  );
}
