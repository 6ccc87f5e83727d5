// Several choices streamed as one sequence of events, each with the index of its choice, in the order in which they happen.
import type { Choice, ChoiceEvent } from './choice.ts';

export interface IndexedEvent {
  readonly index: number;
  readonly event: ChoiceEvent;
}

interface Step {
  readonly index: number;
  readonly result: IteratorResult<ChoiceEvent>;
}

/** Ends when every choice ended; the first failure ends all. The caller cancels what is left by closing its session. */
export async function* mergeEvents(choices: readonly Choice[]): AsyncGenerator<IndexedEvent> {
  const iterators = choices.map((choice) => choice.events());
  const pending = new Map<number, Promise<Step>>(iterators.map((iterator, index) => [index, advance(index, iterator)]));
  while (pending.size > 0) {
    const step = await Promise.race(pending.values());
    const iterator = iterators[step.index];
    if (step.result.done === true || iterator === undefined) {
      pending.delete(step.index);
    } else {
      pending.set(step.index, advance(step.index, iterator));
      yield { index: step.index, event: step.result.value };
    }
  }
}

async function next(index: number, iterator: AsyncGenerator<ChoiceEvent>): Promise<Step> {
  return { index, result: await iterator.next() };
}

function advance(index: number, iterator: AsyncGenerator<ChoiceEvent>): Promise<Step> {
  const step = next(index, iterator);
  // A consumer that leaves early never awaits this step; its failure must not count as unhandled.
  step.catch(() => undefined);
  return step;
}
