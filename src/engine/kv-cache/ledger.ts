// Accounts for KV positions: who holds how many of a fixed total. Knows no memory and no executor.
import type { RowId } from '../ports.ts';

/** Invariant: the sum over rows equals `reserved`, and never exceeds `total`. */
export class KvLedger {
  readonly total: number;
  readonly #positionsOf = new Map<RowId, number>();
  #reserved = 0;

  /** @param total Positions in all, at least 1. */
  constructor(total: number) {
    this.total = total;
  }

  get reserved(): number {
    return this.#reserved;
  }

  /** Gives a new row `positions`; false, and nothing changed, when that many are not free. */
  tryReserve(row: RowId, positions: number): boolean {
    if (this.#positionsOf.has(row)) throw new Error(`row ${row} already holds KV positions`);
    if (this.#reserved + positions > this.total) return false;
    this.#positionsOf.set(row, positions);
    this.#reserved += positions;
    return true;
  }

  /** Enlarges a row to `positions` in all; false, and nothing changed, when the difference is not free. */
  tryGrow(row: RowId, positions: number): boolean {
    const held = this.#held(row);
    if (positions < held) throw new Error(`row ${row} cannot shrink from ${held} to ${positions} KV positions`);
    if (this.#reserved + positions - held > this.total) return false;
    this.#positionsOf.set(row, positions);
    this.#reserved += positions - held;
    return true;
  }

  release(row: RowId): void {
    this.#reserved -= this.#held(row);
    this.#positionsOf.delete(row);
  }

  /** Positions by row, a copy. */
  snapshot(): ReadonlyMap<RowId, number> {
    return new Map(this.#positionsOf);
  }

  #held(row: RowId): number {
    const held = this.#positionsOf.get(row);
    if (held === undefined) throw new Error(`row ${row} holds no KV positions`);
    return held;
  }
}
