// What a finished pull from the hub leaves beside its files, so that the next one needs no network: revision, commit, sizes and digests.
import type { HubFile } from './hub.ts';

export interface PullRecord {
  /** As it was asked for. */
  readonly revision: string;
  readonly commit: string;
  readonly files: readonly HubFile[];
}

/** Null for a record that is missing, cut short or of another format: the files are then checked against the hub again. */
export function parsePullRecord(text: string): PullRecord | null {
  try {
    const value: unknown = JSON.parse(text);
    return isPullRecord(value) ? value : null;
  } catch {
    return null;
  }
}

function isPullRecord(value: unknown): value is PullRecord {
  if (typeof value !== 'object' || value === null) return false;
  const record = value as Partial<Record<keyof PullRecord, unknown>>;
  return (
    typeof record.revision === 'string' &&
    typeof record.commit === 'string' &&
    Array.isArray(record.files) &&
    record.files.length > 0 &&
    record.files.every(isHubFile)
  );
}

function isHubFile(value: unknown): value is HubFile {
  if (typeof value !== 'object' || value === null) return false;
  const { path, bytes, digest } = value as Partial<Record<keyof HubFile, unknown>>;
  return typeof path === 'string' && typeof bytes === 'number' && (digest === null || isDigest(digest));
}

function isDigest(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { kind, hex } = value as { readonly kind?: unknown; readonly hex?: unknown };
  return (kind === 'sha256' || kind === 'git-blob') && typeof hex === 'string';
}
