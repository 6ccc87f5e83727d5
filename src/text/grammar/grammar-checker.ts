// Decides before anything is queued whether a grammar can be compiled, in a thread that a hostile grammar may stall or break.
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { AppError } from '../../core/index.ts';
import type { Grammar } from './grammar.ts';
import { GrammarThread, type GrammarThreadOptions, type ThreadConstraint } from './grammar-thread.ts';

export interface GrammarChecker {
  /**
   * `owner`: whoever may learn from a short time that it was checked before.
   * @throws AppError invalid_request that says what is wrong with it, overloaded when too many wait, internal when the thread fails.
   */
  check(grammar: Grammar, owner: string, param: string): Promise<void>;
}

const KEPT_ANSWERS = 4096;
const MAX_WAITING = 32;

type Answer = { readonly problem: string | null };

/** One grammar at a time, so that only the one at work can be to blame when the thread has to be ended. */
export function createGrammarChecker(options: GrammarThreadOptions): GrammarChecker {
  const answers = new LRUCache<string, Answer>({ max: KEPT_ANSWERS });
  const thread = new GrammarThread(options);
  let last: Promise<unknown> = Promise.resolve();
  let waiting = 0;

  async function compile(grammar: Grammar, owner: string): Promise<Answer> {
    const constraint = thread.open(grammar, owner);
    try {
      await new Promise<void>((resolve) => {
        thread.onChange(() => {
          if (constraint.state !== 'working') resolve();
        });
      });
      return answerOf(constraint);
    } finally {
      constraint.close();
    }
  }

  async function answer(grammar: Grammar, owner: string): Promise<Answer> {
    const key = createHash('sha256')
      .update(JSON.stringify([owner, grammar.kind, grammar.text]))
      .digest('base64');
    const known = answers.get(key);
    if (known !== undefined) return known;
    if (waiting >= MAX_WAITING)
      throw new AppError('overloaded', `${waiting} grammars are waiting to be compiled; try again soon`, { retryAfterSeconds: 1 });
    waiting += 1;
    const turn = last.catch(() => undefined).then(() => answers.get(key) ?? compile(grammar, owner));
    last = turn;
    try {
      const found = await turn;
      answers.set(key, found);
      return found;
    } finally {
      waiting -= 1;
    }
  }

  return {
    async check(grammar, owner, param) {
      const { problem } = await answer(grammar, owner);
      if (problem !== null) throw new AppError('invalid_request', `"${param}": this grammar cannot be used: ${problem}`, { param });
    },
  };
}

function answerOf({ state, problem }: ThreadConstraint): Answer {
  if (state === 'failed' && problem === null) throw new AppError('internal', 'the grammar could not be checked: its thread ended');
  return { problem: state === 'failed' ? problem : null };
}
