import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { argmax, selectTop } from './select.ts';

const logits = fc.float32Array({ minLength: 1, maxLength: 700 });
/** Few distinct values, so that ties are common. */
const tiedLogits = fc
  .array(fc.constantFrom(-2, -0, 0, 1, 3, -Infinity), { minLength: 1, maxLength: 700 })
  .map((values) => Float32Array.from(values));

/** By definition: everything above -Infinity, by value, then by id. */
function reference(values: Float32Array, count: number): number[] {
  const ids = [...values.keys()].filter((id) => (values[id] ?? NaN) > -Infinity);
  return ids.sort((left, right) => compare(values[right] ?? 0, values[left] ?? 0) || left - right).slice(0, count);
}

function compare(left: number, right: number): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

describe('selecting the best', () => {
  it('agrees with a full sort, by heap and by packed keys, ties and odd values included', () => {
    fc.assert(
      fc.property(fc.oneof(logits, tiedLogits), fc.integer({ min: 0, max: 800 }), (values, count) => {
        expect([...selectTop(values, count)]).toEqual(reference(values, count));
      }),
      { seed: 1, numRuns: 300 },
    );
  });

  it('finds the first of the largest', () => {
    fc.assert(
      fc.property(fc.oneof(logits, tiedLogits), (values) => {
        expect(argmax(values)).toBe(reference(values, 1)[0] ?? -1);
      }),
      { seed: 2, numRuns: 300 },
    );
  });
});
