// The fake executor with the costs of a real one, which lie in lanes: a decode call covers all of them up to the last row that decodes.
import type { PackedAdapter } from '../../../src/adapters/packed.ts';
import type { Digest } from '../../../src/core/index.ts';
import type { RowId, SessionCall } from '../../../src/engine/ports.ts';
import { FakeExecutor } from '../../support/fake-executor.ts';

/** Milliseconds with adapters of rank 16 on all linears, as measured on a quiet machine (Zen 4, 2 cores, 30 November 2026). */
const JOIN_MS = 5.5;
const MOVE_MS = 6;
const PREFILL_MS = { call: 8, token: 0.83 };
const DECODE_MS: readonly (readonly [lanes: number, ms: number])[] = [
  [1, 10.5],
  [2, 12.5],
  [3, 15.2],
  [4, 17.4],
  [6, 21],
  [8, 22.5],
  [16, 34],
];

/** Moves time forward by what its calls would take. */
export class LanedExecutor extends FakeExecutor {
  readonly #lanes: (RowId | null)[];
  readonly #spend: (ms: number) => void;

  constructor(laneCount: number, spend: (ms: number) => void) {
    super({ maxContext: 8192 });
    this.#lanes = Array.from({ length: laneCount }, () => null);
    this.#spend = spend;
  }

  override addRow(row: RowId, capacity: number, adapter: PackedAdapter | null, merged: Digest | null = null): void {
    super.addRow(row, capacity, adapter, merged);
    this.#lanes[this.#lanes.indexOf(null)] = row;
    this.#spend(JOIN_MS);
  }

  override removeRow(row: RowId): void {
    super.removeRow(row);
    this.#lanes[this.#lanes.indexOf(row)] = null;
  }

  override run(call: SessionCall): Float32Array {
    const logits = super.run(call);
    if (call.kind === 'prefill') this.#spend(PREFILL_MS.call + PREFILL_MS.token * call.tokenIds.length);
    else this.#spend(decodeMs(this.#cover(new Set(call.rows.map(({ row }) => row)))));
    return logits;
  }

  /** Lanes of a decode call, whose rows move into free lanes below first. */
  #cover(decoding: ReadonlySet<RowId>): number {
    const decodes = (row: RowId | null | undefined): row is RowId => row !== null && row !== undefined && decoding.has(row);
    for (let top = this.#lanes.length - 1; top > 0; top -= 1) {
      const row = this.#lanes[top];
      const free = this.#lanes.indexOf(null);
      if (!decodes(row) || free < 0 || free > top) continue;
      this.#lanes[free] = row;
      this.#lanes[top] = null;
      this.#spend(MOVE_MS);
    }
    return this.#lanes.findLastIndex(decodes) + 1;
  }
}

/** Between measured numbers of lanes in a straight line. */
function decodeMs(laneCount: number): number {
  const above = Math.max(
    1,
    DECODE_MS.findIndex(([lanes]) => lanes >= laneCount),
  );
  const [[fewer, least] = [1, 0], [more, most] = [1, 0]] = DECODE_MS.slice(above - 1, above + 1);
  return least + ((most - least) * (laneCount - fewer)) / (more - fewer);
}
