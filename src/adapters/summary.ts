// Rows of the storage as the registry shows them. Pure.
import { AppError, type Digest } from '../core/index.ts';
import type { AdapterRow, AdapterVersionRow } from '../storage/index.ts';
import { pointerEtag } from './etag.ts';
import type { AdapterKind } from './pack-adapter.ts';
import type { AdapterSummary, AdapterVersion } from './port.ts';

/** @param active - the row's active version. */
export function summarize(row: AdapterRow, active: AdapterVersionRow | null, shared: boolean): AdapterSummary {
  const { tenant, name, versionCount, canary, pinned, mode } = row;
  const etag = pointerEtag(row.generation, active?.packedDigest ?? null);
  return { tenant, name, active: active === null ? null : versionOf(active), canary, versionCount, pinned, mode, shared, etag };
}

export function versionOf(row: AdapterVersionRow): AdapterVersion {
  const { tenant, name, version, kind, rank, targetModules, createdAtMs } = row;
  if (!isKnownKind(kind)) throw new Error(`registry: ${name}@${version} is of the unknown kind ${kind}`);
  const mergedOnly = kind === 'lora-full';
  const bytes = row.files.reduce((sum, file) => sum + file.bytes, 0);
  return { tenant, name, version, digest: row.packedDigest, bytes, kind: 'lora', mergedOnly, rank, targetModules, createdAtMs };
}

function isKnownKind(kind: string): kind is AdapterKind {
  return kind === 'lora' || kind === 'lora-full';
}

/** Every blob of a version. */
export function digestsOf(row: AdapterVersionRow): readonly Digest[] {
  return [row.packedDigest, ...row.files.map((file) => file.digest)];
}

export function lostRace({ name, etag }: AdapterSummary): AppError {
  return new AppError('precondition_failed', `the pointer of "${name}" has moved: its etag is ${etag} now`);
}
