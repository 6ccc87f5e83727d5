// The thread's side: keeps a matcher for each open constraint and answers messages one after another.
import { describeError } from '../../core/index.ts';
import type { FromGrammarThread, GrammarThreadData, ToGrammarThread } from './thread-messages.ts';
import { loadGrammarEngine, type TokenMatcher, type VocabularyBytes } from './xgrammar.ts';

const MEMORY_LIMIT_BYTES = 512 * 1024 ** 2;

export interface GrammarVocabulary {
  readonly bytes: VocabularyBytes;
  /** Tokens that may come when the grammar is complete, and only then. */
  readonly stopTokenIds: readonly number[];
}

/** Serves the process that started this thread until that ends it. */
export async function serveGrammars({ port, answers }: GrammarThreadData, vocabulary: GrammarVocabulary): Promise<void> {
  const engine = await loadGrammarEngine(vocabulary.bytes, vocabulary.stopTokenIds, MEMORY_LIMIT_BYTES);
  const counter = new Int32Array(answers);
  const matchers = new Map<number, TokenMatcher>();

  function answer(message: FromGrammarThread): void {
    port.postMessage(message);
    Atomics.add(counter, 0, 1);
    Atomics.notify(counter, 0);
  }

  async function nextMask(id: number, matcher: TokenMatcher): Promise<void> {
    answer({ kind: 'mask', id, mask: await matcher.mask(), memoryBytes: engine.memoryBytes() });
  }

  async function receive(message: ToGrammarThread): Promise<void> {
    const { id } = message;
    const matcher = matchers.get(id);
    switch (message.kind) {
      case 'open': {
        const opened = await engine.open(message.grammar, message.owner);
        matchers.set(id, opened);
        return nextMask(id, opened);
      }
      case 'accept':
        if (matcher?.accept(message.tokenId) !== true) throw new Error(`token ${message.tokenId} does not fit the grammar`);
        return nextMask(id, matcher);
      case 'close':
        matcher?.dispose();
        matchers.delete(id);
    }
  }

  let last = Promise.resolve();
  port.on('message', (message: ToGrammarThread) => {
    const failed = (error: unknown): void =>
      answer({ kind: 'failed', id: message.id, problem: describeError(error), memoryBytes: engine.memoryBytes() });
    last = last.then(() => receive(message)).catch(failed);
  });
}
