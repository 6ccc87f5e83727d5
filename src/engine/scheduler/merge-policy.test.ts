import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fakeAdapter } from '../../../test/support/fake-adapters.ts';
import { type MergeView, nextMergeStep, PLACED_IDLE_MS, PROMOTE_GAIN_MS, STARVED_MS } from './merge-policy.ts';

const DIGESTS = [1, 2, 3, 4, 5].map((seed) => fakeAdapter(seed).digest);

function view(index: number, changes: Partial<MergeView> = {}): MergeView {
  const digest = DIGESTS[index];
  if (digest === undefined) throw new Error(`there is no digest ${index}`);
  return { digest, placement: 'auto', mergedOnly: false, demand: 1, phase: 'side', gainMs: 0, waitedMs: 0, idleMs: 0, ...changes };
}

const step = (kind: string, index: number): unknown => ({ kind, digest: DIGESTS[index] });

describe('which adapters are merged', () => {
  it('are those that nothing else can compute, then those that are placed, then those that pay', () => {
    const paying = view(0, { gainMs: PROMOTE_GAIN_MS });
    const placed = view(1, { placement: 'merged', demand: 0 });
    const full = view(2, { mergedOnly: true });
    expect(nextMergeStep([paying, placed, full], 1)).toEqual(step('prepare', 2));
    expect(nextMergeStep([paying, placed], 1)).toEqual(step('prepare', 1));
    expect(nextMergeStep([paying], 1)).toEqual(step('prepare', 0));
    expect(nextMergeStep([view(0, { gainMs: PROMOTE_GAIN_MS - 1 })], 1)).toBeNull();
    expect(nextMergeStep([paying, placed, full], 0)).toBeNull();
  });

  it('are prepared one at a time, and loaded where there is a place', () => {
    const prepared = view(0, { placement: 'merged', phase: 'prepared' });
    expect(nextMergeStep([view(0, { placement: 'merged', phase: 'preparing' }), view(1, { mergedOnly: true })], 2)).toBeNull();
    expect(nextMergeStep([prepared], 1)).toEqual(step('load', 0));
    expect(nextMergeStep([prepared, view(1, { phase: 'retiring' })], 1)).toBeNull();
    expect(nextMergeStep([view(0, { placement: 'side', phase: 'prepared' })], 1)).toEqual(step('forget', 0));
  });

  it('take the place of the least needed, of those the least recently used', () => {
    const full = view(0, { mergedOnly: true, phase: 'prepared' });
    const placed = view(1, { placement: 'merged', phase: 'merged' });
    const recent = view(2, { phase: 'merged', gainMs: 5, idleMs: 1 });
    const older = view(3, { phase: 'merged', gainMs: 5, idleMs: 9 });
    expect(nextMergeStep([full, placed, recent, older], 3)).toEqual(step('retire', 3));
    expect(nextMergeStep([full, placed], 1)).toEqual(step('retire', 1));
    expect(nextMergeStep([view(4, { phase: 'prepared', gainMs: PROMOTE_GAIN_MS }), placed], 1)).toEqual(step('forget', 4));
  });

  it('lose their place when they do not pay any more, or are placed beside the base', () => {
    expect(nextMergeStep([view(0, { phase: 'merged', gainMs: 0 })], 1)).toEqual(step('retire', 0));
    expect(nextMergeStep([view(0, { phase: 'merged', gainMs: 1 })], 1)).toBeNull();
    expect(nextMergeStep([view(0, { phase: 'merged', placement: 'side', gainMs: 9 })], 1)).toEqual(step('retire', 0));
    expect(nextMergeStep([view(0, { phase: 'merged', mergedOnly: true, demand: 0 })], 1)).toBeNull();
  });

  it('with full weights give way to one another after a while, without waiting for ever', () => {
    const holder = view(0, { mergedOnly: true, phase: 'merged', demand: 4 });
    const waiting = (waitedMs: number): MergeView => view(1, { mergedOnly: true, waitedMs });
    expect(nextMergeStep([holder, waiting(STARVED_MS - 1)], 1)).toBeNull();
    expect(nextMergeStep([holder, waiting(STARVED_MS)], 1)).toEqual(step('prepare', 1));
    expect(nextMergeStep([{ ...holder, demand: 0 }, waiting(0)], 1)).toEqual(step('prepare', 1));
  });

  it('that are placed beyond the places change only when the one that has it was idle for long', () => {
    const holder = view(0, { placement: 'merged', phase: 'merged', demand: 0, idleMs: PLACED_IDLE_MS });
    const other = view(1, { placement: 'merged', demand: 1 });
    expect(nextMergeStep([holder, other], 1)).toEqual(step('prepare', 1));
    expect(nextMergeStep([{ ...holder, idleMs: PLACED_IDLE_MS - 1 }, other], 1)).toBeNull();
    expect(nextMergeStep([{ ...holder, demand: 1 }, other], 1)).toBeNull();
  });

  it('settle: whatever the state, steps end, and never are there more than places', () => {
    const views = fc.array(
      fc.record({
        placement: fc.constantFrom('auto' as const, 'side' as const, 'merged' as const),
        mergedOnly: fc.boolean(),
        demand: fc.nat(3),
        phase: fc.constantFrom('side' as const, 'prepared' as const, 'failed' as const),
        gainMs: fc.constantFrom(0, 1, PROMOTE_GAIN_MS),
        waitedMs: fc.constantFrom(0, STARVED_MS),
        idleMs: fc.constantFrom(0, PLACED_IDLE_MS),
      }),
      { maxLength: DIGESTS.length },
    );
    fc.assert(
      fc.property(views, fc.nat(3), (changes, mergedMax) => {
        let state = changes.map((change, index) => view(index, change));
        for (let count = 0; ; count += 1) {
          expect(count).toBeLessThan(40);
          const next = nextMergeStep(state, mergedMax);
          if (next === null) break;
          const phase = ({ prepare: 'prepared', forget: 'side', load: 'merged', retire: 'side' } as const)[next.kind];
          // Those that wait for a place get one and have waited no more; here time stands still otherwise.
          state = state.map((one) => (one.digest === next.digest ? { ...one, phase, waitedMs: 0 } : one));
          expect(state.filter((one) => one.phase === 'merged').length).toBeLessThanOrEqual(mergedMax);
        }
        const isShort = mergedMax > 0 && state.some(({ mergedOnly, demand, phase }) => mergedOnly && demand > 0 && phase === 'side');
        const othersHold = state.some(({ mergedOnly, phase }) => !mergedOnly && phase === 'merged');
        expect(isShort && othersHold).toBe(false);
      }),
      { seed: 5, numRuns: 500 },
    );
  });
});
