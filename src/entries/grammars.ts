// How the front and the engine process run their grammar thread.
import { join } from 'node:path';
import { describeError, type Logger } from '../core/index.ts';
import type { GrammarThreadOptions } from '../text/index.ts';

/** @param modelFolder Of the imported base model, whose vocabulary the thread reads. */
export function grammarThreadOptions(modelFolder: string, silenceMs: number, logger: Logger): GrammarThreadOptions {
  return {
    entry: join(import.meta.dirname, import.meta.filename.endsWith('.ts') ? 'grammar-thread.ts' : 'grammar-thread.js'),
    model: { folder: modelFolder },
    silenceMs,
    onLost: (error) => logger.error({ error: describeError(error) }, 'the grammar thread ended; it starts again when it is needed'),
  };
}
