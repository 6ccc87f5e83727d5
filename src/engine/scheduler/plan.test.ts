import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fakeAdapter } from '../../../test/support/fake-adapters.ts';
import { createCosts, recordChunk, recordDecode, recordMixed } from './costs.ts';
import { afterAction, afterDecode } from './interlude.ts';
import { laneOf, planCall, type Pace, type RowView } from './plan.ts';

const row = (id: number, changes: Partial<RowView> = {}): RowView => ({
  id,
  capacity: 512,
  merged: null,
  cachedPositions: 10,
  prefillTarget: 10,
  lastPrefillStep: -1,
  maxChunk: 32,
  nextBlock: null,
  canShare: false,
  canMix: true,
  ...changes,
});

const reader = (id: number, changes: Partial<RowView> = {}): RowView => row(id, { cachedPositions: 0, prefillTarget: 100, ...changes });

const FOUR_DECODE = [1, 2, 3, 4].map((id) => row(id));

/** 2 ms a prompt token were measured at every size; a decode call takes `decodeMs`. */
function pace(decodeMs: number, changes: Partial<Pace> = {}): Pace {
  const costs = createCosts();
  for (const size of [16, 32, 64, 128]) recordChunk(costs.prefill, size, 0, 2 * size);
  return { costs, interlude: afterDecode(decodeMs), maxStretch: 2, ...changes };
}

describe('planning a call', () => {
  it('has nothing to do without rows', () => {
    expect(planCall([], new Map(), pace(10))).toBeNull();
  });

  it('takes the largest chunk while nothing decodes, and at most what is left of the prompt', () => {
    expect(planCall([reader(1)], new Map(), pace(1))).toEqual({ kind: 'prefill', row: 1, tokenCount: 32 });
    expect(planCall([reader(1, { cachedPositions: 96 })], new Map(), pace(1))).toEqual({ kind: 'prefill', row: 1, tokenCount: 4 });
  });

  it('takes more than 128 tokens while nothing decodes only where the call is known to stay short', () => {
    const chunk = (msPerToken: number | null): unknown => {
      const costs = createCosts();
      if (msPerToken !== null) recordChunk(costs.prefill, 128, 0, 128 * msPerToken);
      return planCall([reader(1, { prefillTarget: 900, maxChunk: 512 })], new Map(), { ...pace(1), costs });
    };
    expect([null, 0.4, 0.5, 1, 3].map(chunk)).toMatchObject([128, 512, 256, 128, 128].map((tokenCount) => ({ tokenCount })));
  });

  it('takes a chunk that fits between two decode calls', () => {
    const rows = [...FOUR_DECODE, reader(5, { maxChunk: 128, prefillTarget: 500 })];
    expect(planCall(rows, new Map(), pace(100))).toEqual({ kind: 'prefill', row: 5, tokenCount: 48 });
    expect(planCall(rows, new Map(), pace(100, { maxStretch: 3 }))).toEqual({ kind: 'prefill', row: 5, tokenCount: 100 });
  });

  it('lets two interludes pass for a worthwhile chunk, has their time then, and takes the least chunk at least', () => {
    const rows = [...FOUR_DECODE, reader(5)];
    const third = (decodeMs: number): Pace => {
      const first = pace(decodeMs);
      const second = { ...first, interlude: afterDecode(decodeMs, first.interlude) };
      for (const early of [first, second]) expect(planCall(rows, new Map(), early)).toMatchObject({ kind: 'decode' });
      return { ...first, interlude: afterDecode(decodeMs, second.interlude) };
    };
    expect(planCall(rows, new Map(), third(20))).toEqual({ kind: 'prefill', row: 5, tokenCount: 28 });
    expect(planCall(rows, new Map(), third(8))).toEqual({ kind: 'prefill', row: 5, tokenCount: 12 });
    expect(planCall(rows, new Map(), third(1))).toEqual({ kind: 'prefill', row: 5, tokenCount: 4 });
    // A fourth has no more time than the third.
    const fourth = { ...third(20), interlude: afterDecode(20, third(20).interlude) };
    expect(planCall(rows, new Map(), fourth)).toEqual({ kind: 'prefill', row: 5, tokenCount: 28 });
  });

  it('decodes once the time of an interlude is spent', () => {
    const rows = [...FOUR_DECODE, reader(5)];
    const once = pace(50);
    expect(planCall(rows, new Map(), once)).toEqual({ kind: 'prefill', row: 5, tokenCount: 24 });
    expect(planCall(rows, new Map(), { ...once, interlude: afterAction(once.interlude, 48) })).toMatchObject({ kind: 'decode' });
  });

  it('reads a short rest whole or not yet', () => {
    const rows = [...FOUR_DECODE, reader(5, { prefillTarget: 20, maxChunk: 128 })];
    // 40 ms; a call of 4 tokens would fit.
    expect(planCall(rows, new Map(), pace(20))).toEqual({ kind: 'prefill', row: 5, tokenCount: 20 });
    const spent = { ...pace(20), interlude: afterAction(afterDecode(20), 5) };
    expect(planCall(rows, new Map(), spent)).toMatchObject({ kind: 'decode' });
    const longer = [...FOUR_DECODE, reader(5, { prefillTarget: 28, maxChunk: 128 })];
    expect(planCall(longer, new Map(), spent)).toMatchObject({ kind: 'decode' });
  });

  it('lets several short prompts share the time', () => {
    const rows = [...FOUR_DECODE, reader(5, { prefillTarget: 10, lastPrefillStep: 4 }), reader(6, { prefillTarget: 10 })];
    const first = pace(100);
    expect(planCall(rows, new Map(), first)).toEqual({ kind: 'prefill', row: 6, tokenCount: 10 });
    expect(planCall(rows.slice(0, 5), new Map(), { ...first, interlude: afterAction(first.interlude, 20) })).toMatchObject({ row: 5 });
  });

  it('gives many prompts no more time than one', () => {
    const readers = [5, 6, 7, 8, 9, 10, 11, 12].map((id) => reader(id));
    for (const count of [1, 8])
      expect(planCall([...FOUR_DECODE, ...readers.slice(0, count)], new Map(), pace(50))).toMatchObject({
        kind: 'prefill',
        tokenCount: 24,
      });
  });

  it('lets one row yield twice its time, and two no more than theirs', () => {
    expect(planCall([row(1), reader(5)], new Map(), pace(32))).toMatchObject({ tokenCount: 32 });
    expect(planCall([row(1), row(2), reader(5)], new Map(), pace(50))).toMatchObject({ tokenCount: 24 });
  });

  it('decodes all rows of one capacity together', () => {
    const plan = planCall([row(1), row(2, { capacity: 2048 }), row(3)], new Map([['2048', 5]]), pace(10));
    expect(plan).toEqual({ kind: 'decode', capacity: 512, merged: null, rows: [1, 3] });
  });

  it('decodes the rows of a merged adapter in a call of their own, in turns with the others', () => {
    const { digest } = fakeAdapter(1);
    const rows = [row(1), row(2, { merged: digest }), row(3, { merged: digest })];
    const own = { kind: 'decode', capacity: 512, merged: digest, rows: [2, 3] };
    expect(planCall(rows, new Map([['512', 5]]), pace(10))).toEqual(own);
    expect(planCall(rows, new Map([[laneOf({ capacity: 512, merged: digest }), 6]]), pace(10))).toMatchObject({ merged: null, rows: [1] });
  });

  it('lets prefilling rows take turns', () => {
    const long = reader(1, { cachedPositions: 64, prefillTarget: 5000, lastPrefillStep: 7 });
    const short = reader(2, { prefillTarget: 20 });
    expect(planCall([long, short], new Map(), pace(10))).toMatchObject({ kind: 'prefill', row: 2 });
  });

  it('lets a row wait whose next block another one is computing, unless it cannot take it', () => {
    const leader = reader(1, { nextBlock: 'x', lastPrefillStep: 9 });
    const follower = reader(2, { nextBlock: 'x', canShare: true });
    expect(planCall([leader, follower], new Map(), pace(10))).toMatchObject({ row: 1 });
    expect(planCall([leader, { ...follower, canShare: false }], new Map(), pace(10))).toMatchObject({ row: 2 });
    expect(planCall([leader, { ...follower, nextBlock: 'y' }], new Map(), pace(10))).toMatchObject({ row: 2 });
  });

  it('runs every decode lane once before any of them runs again', () => {
    const lane = fc.tuple(fc.constantFrom(512, 2048, 8192), fc.constantFrom(null, fakeAdapter(1).digest));
    const rows = fc.array(lane, { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(rows, (capacities) => {
        const views = capacities.map(([capacity, merged], id) => row(id, { capacity, merged }));
        const laneCount = new Set(views.map(laneOf)).size;
        const turns = new Map<string, number>();
        const history: string[] = [];
        for (let step = 0; step < 3 * laneCount; step += 1) {
          const plan = planCall(views, turns, pace(10));
          if (plan?.kind !== 'decode') throw new Error('no decode call');
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

describe('planning a mixed call', () => {
  const DECODE = { kind: 'decode', capacity: 512, merged: null, rows: [1, 2, 3, 4] };

  /** Decode calls of capacity 512 were measured, and 1 ms for each token that a chunk in them has. */
  function mixedPace(decodeMs: number): Pace {
    const alone = pace(decodeMs);
    recordDecode(alone.costs, '512', decodeMs);
    for (const size of [8, 16, 32, 64, 128]) recordMixed(alone.costs, '512', size, 0, decodeMs + size);
    return alone;
  }

  it('takes a chunk together with the rows that decode, as much as their time allows', () => {
    const rows = [...FOUR_DECODE, reader(5, { maxChunk: 128, capacity: 2048 })];
    expect(planCall(rows, new Map(), mixedPace(20))).toEqual({
      kind: 'mixed',
      prefill: { kind: 'prefill', row: 5, tokenCount: 20 },
      decode: DECODE,
    });
    const spent = { ...mixedPace(20), interlude: afterAction(afterDecode(20), 11) };
    expect(planCall(rows, new Map(), spent)).toMatchObject({ prefill: { tokenCount: 8 } });
    expect(planCall(rows, new Map(), { ...spent, interlude: afterAction(afterDecode(20), 13) })).toEqual(DECODE);
  });

  it('takes small chunks while little of the prompt is cached, and later only worthwhile ones', () => {
    const read = (cachedPositions: number): RowView => reader(5, { cachedPositions, prefillTarget: 900, maxChunk: 128 });
    expect(planCall([...FOUR_DECODE, read(400)], new Map(), mixedPace(10))).toMatchObject({ kind: 'mixed', prefill: { tokenCount: 8 } });
    expect(planCall([...FOUR_DECODE, read(600)], new Map(), mixedPace(10))).toEqual(DECODE);
    expect(planCall([...FOUR_DECODE, read(600)], new Map(), mixedPace(26))).toMatchObject({ kind: 'mixed', prefill: { tokenCount: 24 } });
  });

  it.each([
    ['the prompt', [...FOUR_DECODE, reader(5, { canMix: false })]],
    ['a row that decodes', [...FOUR_DECODE.slice(1), row(1, { canMix: false }), reader(5)]],
    ['a prompt of a merged adapter', [...FOUR_DECODE, reader(5, { merged: fakeAdapter(1).digest })]],
  ])('reads the prompt in a call of its own where %s cannot be mixed', (_, rows) => {
    expect(planCall(rows, new Map(), mixedPace(60))).toEqual({ kind: 'prefill', row: 5, tokenCount: 28 });
  });

  it('waits with it for the first measured decode call of these rows', () => {
    expect(planCall([...FOUR_DECODE, reader(5)], new Map(), pace(60))).toMatchObject({ kind: 'prefill' });
  });
});
