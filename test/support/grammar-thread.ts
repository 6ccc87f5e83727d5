// A grammar thread over a vocabulary of single bytes: token 256 is special, token 257 ends an output. Also tells tests where it lies.
import { fileURLToPath } from 'node:url';
import { isMainThread, workerData } from 'node:worker_threads';
import { serveGrammars, type GrammarThreadData, type GrammarThreadOptions } from '../../src/text/index.ts';

export const BYTE_GRAMMARS: GrammarThreadOptions = {
  entry: fileURLToPath(import.meta.url),
  model: null,
  silenceMs: 60_000,
  onLost: (error) => {
    throw error;
  },
};

const SPECIAL_COUNT = 2;

if (!isMainThread && isGrammarThread(workerData)) {
  const bytes = Array.from({ length: 256 + SPECIAL_COUNT }, (_, id) => (id < 256 ? Uint8Array.of(id) : new Uint8Array(0)));
  await serveGrammars(workerData, { bytes, stopTokenIds: [257] });
}

function isGrammarThread(data: unknown): data is GrammarThreadData {
  return typeof data === 'object' && data !== null && 'answers' in data;
}
