import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StepPlan } from './step-plan.ts';

const sizes = { batchSize: 2, gradientAccumulation: 2, epochs: 2, maxSteps: null, shuffle: false, seed: 3 };

function rowsOf(plan: StepPlan, from = 1): readonly (readonly (readonly number[])[])[] {
  return Array.from({ length: plan.totalSteps - from + 1 }, (_, index) => plan.microBatches(from + index).map((rows) => [...rows]));
}

describe('the rows of each step', () => {
  it('come in the order of the file, and the last step and batch of an epoch may be smaller', () => {
    const epoch = [
      [
        [0, 1],
        [2, 3],
      ],
      [[4, 5], [6]],
    ];
    expect(rowsOf(new StepPlan(7, sizes))).toEqual([...epoch, ...epoch]);
    expect(rowsOf(new StepPlan(5, { ...sizes, epochs: 1 }))).toEqual([epoch[0], [[4]]]);
  });

  it('go on over the file until there are as many steps as asked for', () => {
    const plan = new StepPlan(3, { ...sizes, gradientAccumulation: 1, maxSteps: 5 });
    expect(rowsOf(plan)).toEqual([[[0, 1]], [[2]], [[0, 1]], [[2]], [[0, 1]]]);
  });

  it('are all rows once an epoch, in another order each, when shuffled', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 5 }), fc.nat(), (rowCount, batchSize, seed) => {
        const plan = new StepPlan(rowCount, { ...sizes, batchSize, seed, shuffle: true });
        const steps = rowsOf(plan).map((microBatches) => microBatches.flat());
        const half = steps.length / 2;
        for (const epoch of [steps.slice(0, half), steps.slice(half)])
          expect(epoch.flat().toSorted((a, b) => a - b)).toEqual(Array.from({ length: rowCount }, (_, index) => index));
      }),
      { seed: 5 },
    );
    const plan = new StepPlan(64, { ...sizes, shuffle: true });
    const [first, second] = [rowsOf(plan).slice(0, 16).flat(2), rowsOf(plan).slice(16).flat(2)];
    expect(first).not.toEqual(second);
    expect(first).not.toEqual(first.toSorted((a, b) => a - b));
    expect(rowsOf(new StepPlan(64, { ...sizes, shuffle: true, seed: 4 })).flat(2)).not.toEqual([...first, ...second]);
  });

  it('are the same for a job that begins in the middle', () => {
    const shuffledSizes = { ...sizes, shuffle: true, epochs: 3 };
    expect(rowsOf(new StepPlan(11, shuffledSizes), 6)).toEqual(rowsOf(new StepPlan(11, shuffledSizes)).slice(5));
  });
});
