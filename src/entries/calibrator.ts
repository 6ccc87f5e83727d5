// Calibrates base models in a child process, for processes that may not load ONNX Runtime.
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Settings } from '../config/index.ts';
import { AppError } from '../core/index.ts';
import type { Calibrator } from '../models/index.ts';
import { runToEnd } from '../processes/index.ts';

/** What the calibrating process is started with; a JSON value on its command line. */
export interface CalibratingOptions {
  readonly modelFolder: string;
  readonly threadCount: number;
  /** Path of another ONNX Runtime library. */
  readonly libraryPath?: string;
}

export type FromCalibrating =
  | { readonly kind: 'progress'; readonly done: number; readonly total: number }
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly message: string };

export function childCalibrator({ threadCount, ortLibrary }: Pick<Settings, 'threadCount' | 'ortLibrary'>): Calibrator {
  return async (modelFolder, onProgress) => {
    const options: CalibratingOptions = {
      modelFolder,
      threadCount: threadCount ?? availableParallelism(),
      ...(ortLibrary !== null && { libraryPath: ortLibrary }),
    };
    let isDone = false;
    let failure: string | null = null;
    const ending = await runToEnd<FromCalibrating>({ entry: entryPath(), args: [JSON.stringify(options)] }, (message) => {
      if (message.kind === 'progress') onProgress?.(message.done, message.total);
      else if (message.kind === 'failed') failure = message.message;
      else isDone = true;
    });
    if (!isDone)
      throw new AppError('internal', `the base model could not be calibrated: ${failure ?? `the calibrating process ${ending}`}`);
  };
}

/** The process's entry beside this file: source under a loader, compiled otherwise. */
function entryPath(): string {
  return join(import.meta.dirname, import.meta.filename.endsWith('.ts') ? 'calibrate.ts' : 'calibrate.js');
}
