import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nextToAdmit, recordArrival, recordTurn, type WaitingView } from './admission.ts';
import { nextToLoad } from './prefetch.ts';

const waiting = (arrival: number, group: string, preempted = false): WaitingView => ({ arrival, group, preempted });

describe('admission', () => {
  it('takes the oldest of a group, and preempted requests before all others', () => {
    expect(nextToAdmit([waiting(2, 'a'), waiting(1, 'a')], new Map())).toMatchObject({ arrival: 1 });
    expect(nextToAdmit([waiting(1, 'a'), waiting(9, 'b', true), waiting(8, 'a', true)], new Map([['b', 1]]))).toMatchObject({ arrival: 8 });
    expect(nextToAdmit([], new Map())).toBeNull();
  });

  it('lets no group pass a waiting one more than twice, whatever arrives', () => {
    const groups = ['a', 'b', 'c'];
    const actions = fc.array(fc.oneof(fc.constantFrom(...groups), fc.constant('admit')), { maxLength: 300 });
    fc.assert(
      fc.property(actions, (sequence) => {
        const turns = new Map<string, number>();
        let queue: WaitingView[] = [];
        // Admissions of others since a waiting group was last served or began to wait.
        const passedBy = new Map<string, string[]>();
        let turn = 1;
        sequence.forEach((action, arrival) => {
          if (action !== 'admit') {
            recordArrival(turns, action, new Set(queue.map(({ group }) => group)));
            queue.push(waiting(arrival, action));
            if (!passedBy.has(action)) passedBy.set(action, []);
            return;
          }
          const next = nextToAdmit(queue, turns);
          if (next === null) return;
          recordTurn(turns, next.group, turn);
          turn += 1;
          queue = queue.filter((view) => view !== next);
          passedBy.delete(next.group);
          if (queue.some(({ group }) => group === next.group)) passedBy.set(next.group, []);
          for (const [group, others] of passedBy) {
            if (group === next.group) continue;
            others.push(next.group);
            for (const other of groups) expect(others.filter((passed) => passed === other).length).toBeLessThanOrEqual(2);
          }
        });
      }),
      { seed: 4, numRuns: 300 },
    );
  });

  it('forgets groups beyond a bound', () => {
    const turns = new Map<string, number>();
    for (let turn = 0; turn < 5000; turn += 1) recordTurn(turns, `group${turn}`, turn);
    expect(turns.size).toBe(4096);
    expect(turns.has('group4999')).toBe(true);
  });
});

describe('prefetching adapters', () => {
  const view = (arrival: number, group: string, phase: 'queued' | 'loading' | 'ready') => ({ ...waiting(arrival, group), phase });

  it('stops at its limit', () => {
    const views = [view(1, 'a', 'loading'), view(2, 'a', 'queued'), view(3, 'a', 'queued')];
    expect(nextToLoad(views, new Map(), 2).map(({ arrival }) => arrival)).toEqual([2]);
  });

  it('always lets a group have one load, however many others have', () => {
    const views = [view(1, 'a', 'ready'), view(2, 'a', 'ready'), view(3, 'a', 'queued'), view(4, 'b', 'queued'), view(5, 'b', 'queued')];
    expect(nextToLoad(views, new Map(), 2).map(({ arrival }) => arrival)).toEqual([4]);
  });
});
