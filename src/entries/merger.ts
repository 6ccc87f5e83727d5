// Makes merged forms of adapters in a child process each, so that the seconds of a core that it takes are not those of the engine.
import { join } from 'node:path';
import type { Digest } from '../core/index.ts';
import { AppError } from '../core/index.ts';
import type { EngineOptions } from '../engine/index.ts';
import { runToEnd } from '../processes/index.ts';

/** What the merging process is started with; a JSON value on its command line. */
export interface MergingOptions extends Pick<EngineOptions, 'modelFolder' | 'precision' | 'kvPrecision'> {
  readonly packedPath: string;
  /** The form appears there, whole. */
  readonly folder: string;
}

export type FromMerging =
  | { readonly kind: 'done' }
  /** A message that is not for users may name files of this machine. */
  | { readonly kind: 'failed'; readonly isForUsers: boolean; readonly message: string };

export type MergeMaker = (digest: Digest, folder: string) => Promise<void>;

/** Where the blob store keeps a packed adapter. */
export function packedPath(blobFolder: string, digest: Digest): string {
  return join(blobFolder, digest.slice(0, 2), digest);
}

export function childMerger({
  modelFolder,
  precision,
  kvPrecision,
  blobFolder,
}: Pick<EngineOptions, 'modelFolder' | 'precision' | 'kvPrecision' | 'blobFolder'>): MergeMaker {
  return async (digest, folder) => {
    const options: MergingOptions = { modelFolder, precision, kvPrecision, packedPath: packedPath(blobFolder, digest), folder };
    let answer: FromMerging | null = null as FromMerging | null;
    const ending = await runToEnd<FromMerging>({ entry: entryPath(), args: [JSON.stringify(options)] }, (message) => {
      answer = message;
    });
    if (answer?.kind === 'done') return;
    if (answer?.isForUsers === true) throw new AppError('generation_failed', answer.message);
    throw new Error(answer?.message ?? `the merging process ${ending}`);
  };
}

/** The process's entry beside this file: source under a loader, compiled otherwise. */
function entryPath(): string {
  return join(import.meta.dirname, import.meta.filename.endsWith('.ts') ? 'merge.ts' : 'merge.js');
}
