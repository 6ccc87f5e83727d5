// The fake executor with the costs of a real one, which lie in lanes: a decode call covers all of them up to the last row that decodes.
import type { PackedAdapter } from '../../../src/adapters/packed.ts';
import type { Digest } from '../../../src/core/index.ts';
import type { DecodeCall, PrefillCall, RowId, SessionCall } from '../../../src/engine/ports.ts';
import { FakeExecutor, rowsOf } from '../../support/fake-executor.ts';

/** Milliseconds as measured on a quiet machine (Zen 4, 2 cores, 30 November 2026). */
interface ChunkCosts {
  readonly call: number;
  readonly token: number;
}

interface Costs {
  readonly prefill: ChunkCosts;
  /** Beside the decode call. */
  readonly mixed: ChunkCosts;
  readonly decode: readonly (readonly [lanes: number, ms: number])[];
}

/** Adapters of rank 16 on all linears. */
const WITH_ADAPTERS: Costs = {
  prefill: { call: 10.5, token: 0.49 },
  mixed: { call: 4, token: 0.53 },
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
  mixed: { call: 2, token: 0.42 },
  decode: [
    [1, 6.5],
    [2, 8],
    [4, 10.5],
    [8, 14],
    [16, 22],
  ],
};
const JOIN_MS = 5.5;
const MOVE_MS = 6;
/** Attention, for each cached position: of a prompt's call, of each of its tokens, and of a row that decodes. */
const POSITION_MS = { call: 0.0045, token: 0.00045, row: 0.0024 };

/** Moves time forward by what its calls would take. */
export class LanedExecutor extends FakeExecutor {
  readonly #lanes: (RowId | null)[];
  readonly #adapted = new Set<RowId>();
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
    this.#spend(JOIN_MS);
  }

  override removeRow(row: RowId): void {
    super.removeRow(row);
    this.#adapted.delete(row);
    this.#lanes[this.#lanes.indexOf(row)] = null;
  }

  override run(call: SessionCall): Float32Array {
    const logits = super.run(call);
    switch (call.kind) {
      case 'prefill':
        this.#spendChunk(call, this.#costs([call.row]).prefill);
        break;
      case 'decode':
        this.#spendDecode(call);
        break;
      case 'mixed':
        this.#spendDecode(call.decode);
        this.#spendChunk(call.prefill, this.#costs(rowsOf(call)).mixed);
    }
    return logits;
  }

  #spendChunk({ tokenIds: { length }, startPosition }: PrefillCall, { call, token }: ChunkCosts): void {
    this.#spend(call + token * length + startPosition * (POSITION_MS.call + POSITION_MS.token * length));
  }

  #spendDecode(call: DecodeCall): void {
    const rows = rowsOf(call);
    const positions = call.rows.reduce((sum, { position }) => sum + position, 0);
    this.#spend(decodeMs(this.#costs(rows), this.#cover(new Set(rows))) + positions * POSITION_MS.row);
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
