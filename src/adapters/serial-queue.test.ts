// One piece of work after the other, whatever becomes of those before.
import { expect, it } from 'vitest';
import { SerialQueue } from './serial-queue.ts';

it('never runs two pieces at once, keeps their order, and goes on after a failure', async () => {
  const queue = new SerialQueue();
  const events: string[] = [];
  const piece = async (name: string, fails: boolean): Promise<void> => {
    events.push(`${name} begins`);
    await Promise.resolve();
    events.push(`${name} ends`);
    if (fails) throw new Error(name);
  };
  const results = await Promise.allSettled([
    queue.run(() => piece('first', false)),
    queue.run(() => piece('second', true)),
    queue.run(() => piece('third', false)),
  ]);
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(events).toEqual(['first begins', 'first ends', 'second begins', 'second ends', 'third begins', 'third ends']);
  await queue.settled();
});
