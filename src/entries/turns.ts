// One piece of heavy work at a time, with a bounded line of those that wait.
import { AppError } from '../core/index.ts';

/**
 * @param what - who waits, for the message: "insights wait to be computed".
 * @returns runs work when all before it has settled. @throws AppError `overloaded` when the line is full.
 */
export function takeTurns(maxWaiting: number, what: string): <T>(work: () => Promise<T>) => Promise<T> {
  let waiting = 0;
  let last: Promise<unknown> = Promise.resolve();
  return async (work) => {
    if (waiting >= maxWaiting) throw new AppError('overloaded', `${waiting} ${what}; try again soon`, { retryAfterSeconds: 5 });
    waiting += 1;
    const turn = last.catch(() => undefined).then(work);
    last = turn;
    return await turn.finally(() => {
      waiting -= 1;
    });
  };
}
