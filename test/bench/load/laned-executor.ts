// The fake executor with the costs of a real one, which lie in lanes: a decode call covers all of them up to the last row that decodes.
import type { PackedAdapter } from '../../../src/adapters/packed.ts';
import type { Digest } from '../../../src/core/index.ts';
import type { RowId, SessionCall } from '../../../src/engine/ports.ts';
import { FakeExecutor } from '../../support/fake-executor.ts';

/** Milliseconds as measured on a quiet machine (Zen 4, 2 cores, 30 November 2026). */
interface Costs {
  readonly prefill: { readonly call: number; readonly token: number };
  readonly decode: readonly (readonly [lanes: number, ms: number])[];
}

/** Adapters of rank 16 on all linears. */
const WITH_ADAPTERS: Costs = {
  prefill: { call: 10.5, token: 0.49 },
  decode: [
    [1, 9],
    [2, 11.7],
    [3, 13.5],
    [4, 14.5],
    [6, 17],
    [8, 19.5],
    [16, 30.5],
  ],
};
const WITHOUT: Costs = {
  prefill: { call: 7.5, token: 0.46 },
  decode: [
    [1, 6.5],
    [2, 8],
    [4, 10.5],
    [8, 14],
    [16, 22],
  ],
};
const JOIN_MS = 6;
/** An adapter's first row: its levels are made. */
const FIRST_JOIN_MS = 12;
const MOVE_MS = 6;
/** Attention, for each cached position: of a prompt's call, of each of its tokens, and of a row that decodes. */
const POSITION_MS = { call: 0.0045, token: 0.00045, row: 0.0024 };

/** Moves time forward by what its calls would take. */
export class LanedExecutor extends FakeExecutor {
  readonly #lanes: (RowId | null)[];
  readonly #adapted = new Set<RowId>();
  readonly #known = new WeakSet<PackedAdapter>();
  readonly #spend: (ms: number) => void;

  constructor(laneCount: number, spend: (ms: number) => void) {
    super({ maxContext: 8192 });
    this.#lanes = Array.from({ length: laneCount }, () => null);
    this.#spend = spend;
  }

  override addRow(row: RowId, capacity: number, adapter: PackedAdapter | null, merged: Digest | null = null): void {
    super.addRow(row, capacity, adapter, merged);
    this.#lanes[this.#lanes.indexOf(null)] = row;
    if (adapter === null) return;
    this.#adapted.add(row);
    this.#spend(JOIN_MS + (this.#known.has(adapter) ? 0 : FIRST_JOIN_MS));
    this.#known.add(adapter);
  }

  override removeRow(row: RowId): void {
    super.removeRow(row);
    this.#adapted.delete(row);
    this.#lanes[this.#lanes.indexOf(row)] = null;
  }

  override run(call: SessionCall): Float32Array {
    const logits = super.run(call);
    if (call.kind === 'prefill') {
      const { prefill } = this.#costs([call.row]);
      const { length } = call.tokenIds;
      this.#spend(prefill.call + prefill.token * length + call.startPosition * (POSITION_MS.call + POSITION_MS.token * length));
    } else {
      const rows = call.rows.map(({ row }) => row);
      const positions = call.rows.reduce((sum, { position }) => sum + position, 0);
      this.#spend(decodeMs(this.#costs(rows), this.#cover(new Set(rows))) + positions * POSITION_MS.row);
    }
    return logits;
  }

  #costs(rows: readonly RowId[]): Costs {
    return rows.some((row) => this.#adapted.has(row)) ? WITH_ADAPTERS : WITHOUT;
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
function decodeMs({ decode }: Costs, laneCount: number): number {
  const above = Math.max(
    1,
    decode.findIndex(([lanes]) => lanes >= laneCount),
  );
  const [[fewer, least] = [1, 0], [more, most] = [1, 0]] = decode.slice(above - 1, above + 1);
  return least + ((most - least) * (laneCount - fewer)) / (more - fewer);
}
