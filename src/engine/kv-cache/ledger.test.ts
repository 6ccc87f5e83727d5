import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KvLedger } from './ledger.ts';

type Action = readonly [kind: 'reserve' | 'grow' | 'release', row: number, positions: number];

const TOTAL = 100;
const sumOf = (model: ReadonlyMap<number, number>): number => [...model.values()].reduce((sum, count) => sum + count, 0);

/** What the ledger should be after an action that it allows. */
function modelAfter(model: ReadonlyMap<number, number>, [kind, row, positions]: Action): ReadonlyMap<number, number> {
  const next = new Map(model);
  if (kind === 'release') next.delete(row);
  else next.set(row, positions);
  return sumOf(next) <= TOTAL ? next : model;
}

/** Actions that no caller may take: they are bugs, tested on their own. */
function isLegal(model: ReadonlyMap<number, number>, [kind, row, positions]: Action): boolean {
  const held = model.get(row);
  if (kind === 'reserve') return held === undefined;
  return held !== undefined && (kind === 'release' || positions >= held);
}

function apply(ledger: KvLedger, [kind, row, positions]: Action): boolean {
  if (kind === 'reserve') return ledger.tryReserve(row, positions);
  if (kind === 'grow') return ledger.tryGrow(row, positions);
  ledger.release(row);
  return true;
}

describe('the KV ledger', () => {
  it('conserves positions over any sequence of reservations, growths and releases', () => {
    const action = fc.tuple(fc.constantFrom('reserve', 'grow', 'release'), fc.nat(5), fc.integer({ min: 1, max: 60 }));
    fc.assert(
      fc.property(fc.array(action, { maxLength: 100 }), (actions) => {
        const ledger = new KvLedger(TOTAL);
        let model: ReadonlyMap<number, number> = new Map();
        for (const step of actions) {
          if (!isLegal(model, step)) continue;
          const wanted = modelAfter(model, step);
          const allowed = apply(ledger, step);
          expect(allowed).toBe(wanted !== model);
          expect(ledger.snapshot()).toEqual(wanted);
          expect(ledger.reserved).toBe(sumOf(wanted));
          model = wanted;
        }
      }),
      { seed: 5 },
    );
  });

  it('treats a row that is unknown, reserved twice or shrinking as a bug', () => {
    const ledger = new KvLedger(100);
    ledger.tryReserve(1, 10);
    expect(() => ledger.tryReserve(1, 10)).toThrow('already holds');
    expect(() => ledger.tryGrow(1, 5)).toThrow('cannot shrink');
    expect(() => ledger.release(2)).toThrow('holds no');
  });
});
