import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { laneOf, planCall, type Lane, type RowView } from './plan.ts';

const row = (id: number, changes: Partial<RowView> = {}): RowView => ({
  id,
  capacity: 512,
  cachedPositions: 10,
  prefillTarget: 10,
  lastPrefillStep: -1,
  maxChunk: 32,
  ...changes,
});

describe('planning a call', () => {
  it('has nothing to do without rows', () => {
    expect(planCall([], new Map())).toBeNull();
  });

  it('takes at most a chunk, and at most what is left of the prompt', () => {
    expect(planCall([row(1, { cachedPositions: 0, prefillTarget: 100 })], new Map())).toEqual({ kind: 'prefill', row: 1, tokenCount: 32 });
    expect(planCall([row(1, { cachedPositions: 96, prefillTarget: 100 })], new Map())).toEqual({ kind: 'prefill', row: 1, tokenCount: 4 });
  });

  it('decodes all rows of one capacity together', () => {
    const plan = planCall([row(1), row(2, { capacity: 2048 }), row(3)], new Map([[2048, 5]]));
    expect(plan).toEqual({ kind: 'decode', capacity: 512, rows: [1, 3] });
  });

  it('lets prefilling rows take turns', () => {
    const long = row(1, { cachedPositions: 64, prefillTarget: 5000, lastPrefillStep: 7 });
    const short = row(2, { cachedPositions: 0, prefillTarget: 20 });
    expect(planCall([long, short], new Map())).toMatchObject({ kind: 'prefill', row: 2 });
  });

  it('runs every lane once before any lane runs again', () => {
    const rows = fc.array(
      fc
        .record({ capacity: fc.constantFrom(512, 2048, 8192), prefilling: fc.boolean() })
        .map(({ capacity, prefilling }) => ({ capacity, prefillTarget: prefilling ? 9000 : 10 })),
      { minLength: 1, maxLength: 12 },
    );
    fc.assert(
      fc.property(rows, (changes) => {
        const views = changes.map((change, id) => row(id, change));
        const laneCount = new Set(views.map((view) => (view.cachedPositions < view.prefillTarget ? 'prefill' : view.capacity))).size;
        const turns = new Map<Lane, number>();
        const history: Lane[] = [];
        for (let step = 0; step < 3 * laneCount; step += 1) {
          const plan = planCall(views, turns);
          if (plan === null) throw new Error('no plan');
          turns.set(laneOf(plan), step);
          history.push(laneOf(plan));
        }
        for (let start = 0; start < history.length; start += laneCount)
          expect(new Set(history.slice(start, start + laneCount)).size).toBe(laneCount);
      }),
      { seed: 3 },
    );
  });
});
