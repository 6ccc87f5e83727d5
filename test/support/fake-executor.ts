// A model without a model: logits are a fixed function of a row's adapter and its whole history, so every mix-up of rows, adapters or
// positions changes the tokens. It also checks the executor contract: what real kernels would read out of bounds is an error here.
import type { PackedAdapter } from '../../src/adapters/packed.ts';
import type { Digest } from '../../src/core/index.ts';
import {
  BLOCK_POSITIONS,
  type DecodeCall,
  type ExecutorShape,
  type MixedCall,
  type ModelExecutor,
  type PrefillCall,
  type RowId,
  type SessionCall,
} from '../../src/engine/index.ts';
import { adapterKeyOf, fillHashLogits } from './fake-logits.ts';
import { weigh } from './weigh.ts';

/** What `engine-child.ts` takes for a kernel that never returns. */
export const HANG_TOKEN = 63;

interface FakeRow {
  readonly adapterKey: number;
  capacity: number;
  merged: Digest | null;
  history: number[];
  /** A call for all logits may be taken back in part: the row may go on from here. Without one, from its end alone. */
  rewindsTo: number;
}

/** What a slot holds: keys and values depend on the adapter and on every token up to their own. */
interface FakeBlock {
  readonly adapterKey: number;
  readonly history: readonly number[];
}

export interface FakeExecutorOptions {
  readonly vocabularySize?: number;
  readonly maxContext?: number;
  readonly kvBytesPerPosition?: number;
  /** Replaces the hash logits; fills `line`, [vocabularySize]. */
  readonly fillLogits?: (line: Float32Array, history: readonly number[], adapterKey: number) => void;
}

/** Asked before each operation; an error it answers is thrown. */
export type FaultPlan = (operation: 'addRow' | 'growRow' | 'moveRow' | SessionCall['kind'], rows: readonly RowId[]) => Error | null;

const FAKE_MERGED_BYTES = 1000;

export class FakeExecutor implements ModelExecutor {
  readonly shape: ExecutorShape;
  readonly calls: SessionCall[] = [];
  faults: FaultPlan = () => null;
  closed = false;
  /** Pieces that `prepareNext` still has to load. */
  pendingPieces = 0;
  /** Told of each operation that takes a real executor its time, with its tokens; of a mixed call as of a decode and a chunk. */
  onWork: (operation: 'addRow' | 'moveRow' | 'prefill' | 'decode' | 'chunk', tokenCount: number, merged: boolean) => void = () => undefined;
  /** Asked before an adapter is prepared or loaded; what it answers is waited for. */
  onMerge: (operation: 'prepare' | 'load', digest: Digest) => Promise<void> = () => Promise.resolve();
  moveCount = 0;
  /** Which adapters can be part of mixed calls. */
  mixes: (adapterKey: number) => boolean = () => true;
  readonly #prepared = new Set<Digest>();
  readonly merged = new Set<Digest>();
  readonly #rows = new Map<RowId, FakeRow>();
  readonly #slots = new Map<number, FakeBlock>();
  readonly #fillLogits: NonNullable<FakeExecutorOptions['fillLogits']>;
  #logits: Float32Array = new Float32Array(0);

  constructor(options: FakeExecutorOptions = {}) {
    this.shape = {
      vocabularySize: options.vocabularySize ?? 64,
      maxContext: options.maxContext ?? 1024,
      kvBytesPerPosition: options.kvBytesPerPosition ?? 16,
    };
    this.#fillLogits = options.fillLogits ?? fillHashLogits;
  }

  addRow(row: RowId, capacity: number, adapter: PackedAdapter | null, merged: Digest | null = null): void {
    this.#fault('addRow', [row]);
    if (this.#rows.has(row)) throw new Error(`row ${row} is in use`);
    this.#requireWay(adapter, merged);
    this.#rows.set(row, { adapterKey: adapterKeyOf(adapter), capacity, merged, history: [], rewindsTo: 0 });
    this.onWork('addRow', 0, merged !== null);
  }

  prepareAdapter(): Promise<void> {
    return Promise.resolve();
  }

  moveRow(row: RowId, adapter: PackedAdapter | null, merged: Digest | null, usedPositions: number): void {
    this.#fault('moveRow', [row]);
    const fake = this.#row(row);
    if (fake.merged === merged) throw new Error(`row ${row} is moved to where it is`);
    if (adapterKeyOf(adapter) !== fake.adapterKey) throw new Error(`row ${row} is moved with another adapter`);
    this.#requireWay(adapter, merged);
    fake.merged = merged;
    this.moveCount += 1;
    fake.history = fake.history.slice(0, usedPositions);
    this.onWork('moveRow', 0, merged !== null);
  }

  async prepareMerged(digest: Digest): Promise<void> {
    await this.onMerge('prepare', digest);
    this.#prepared.add(digest);
  }

  async loadMerged(digest: Digest): Promise<number> {
    if (!this.#prepared.has(digest)) throw new Error(`adapter ${digest} is loaded without having been prepared`);
    await this.onMerge('load', digest);
    this.merged.add(digest);
    return FAKE_MERGED_BYTES;
  }

  dropMerged(digest: Digest): void {
    if (!this.#prepared.delete(digest)) throw new Error(`adapter ${digest} is dropped, but was not prepared`);
    if ([...this.#rows.values()].some(({ merged }) => merged === digest)) throw new Error(`adapter ${digest} is dropped under its rows`);
    this.merged.delete(digest);
  }

  growRow(row: RowId, capacity: number, usedPositions: number): void {
    this.#fault('growRow', [row]);
    const fake = this.#row(row);
    if (capacity <= fake.capacity) throw new Error(`row ${row} grows from ${fake.capacity} to ${capacity}`);
    fake.capacity = capacity;
    fake.history = fake.history.slice(0, usedPositions);
  }

  keptBytes(): number {
    return 0;
  }

  canMix(adapter: PackedAdapter | null): boolean {
    return this.mixes(adapterKeyOf(adapter));
  }

  removeRow(row: RowId): void {
    this.#row(row);
    this.#rows.delete(row);
  }

  saveBlock(row: RowId, startPosition: number, slot: number): void {
    const { adapterKey, history } = this.#row(row);
    const end = startPosition + BLOCK_POSITIONS;
    if (end > history.length) throw new Error(`row ${row} caches ${history.length} positions, a block up to ${end} is saved`);
    this.#slots.set(slot, { adapterKey, history: history.slice(0, end) });
  }

  restoreBlock(row: RowId, startPosition: number, slot: number): void {
    const fake = this.#row(row);
    const block = this.#slots.get(slot);
    const fits =
      block?.adapterKey === fake.adapterKey &&
      block.history.length === startPosition + BLOCK_POSITIONS &&
      fake.history.length === startPosition &&
      fake.history.every((token, index) => token === block.history[index]);
    if (!fits) throw new Error(`slot ${slot} does not hold what follows the ${fake.history.length} positions of row ${row}`);
    fake.history = [...block.history];
    fake.rewindsTo = fake.history.length;
  }

  run(call: SessionCall): Float32Array {
    this.calls.push(call);
    // The array of the last call is not valid any more; whoever still reads it gets nonsense.
    this.#logits.fill(NaN);
    this.#fault(call.kind, rowsOf(call));
    this.#logits = this.#compute(call);
    return this.#logits;
  }

  #compute(call: SessionCall): Float32Array {
    switch (call.kind) {
      case 'prefill':
        return this.#prefill(call);
      case 'decode':
        return this.#decode(call);
      case 'mixed':
        return this.#mixed(call);
    }
  }

  #mixed({ decode, prefill }: MixedCall): Float32Array {
    for (const row of rowsOf({ kind: 'mixed', decode, prefill })) {
      const { merged, adapterKey } = this.#row(row);
      if (merged !== null || !this.mixes(adapterKey)) throw new Error(`row ${row} can be no part of a mixed call`);
    }
    if (prefill.tokenIds.length === 0) throw new Error('an empty chunk');
    if (decode.rows.some(({ row }) => row === prefill.row)) throw new Error(`row ${prefill.row} is in both parts of a call`);
    const parts = [this.#advanceRows(decode), this.#advanceChunk(prefill)];
    this.onWork('decode', decode.rows.length, false);
    this.onWork('chunk', prefill.tokenIds.length, false);
    return this.#concatenate(parts.flat());
  }

  weigh(logits: Float32Array, largest: number, scale: number): Float32Array {
    return weigh(logits, largest, scale);
  }

  prepareNext(): boolean {
    if (this.pendingPieces === 0) return false;
    this.pendingPieces -= 1;
    return true;
  }

  liveHandles(): number {
    return this.#rows.size;
  }

  close(): void {
    if (this.#rows.size > 0) throw new Error(`${this.#rows.size} rows are left`);
    this.closed = true;
  }

  #prefill(call: PrefillCall): Float32Array {
    if (call.tokenIds.length === 0) throw new Error('an empty prefill');
    const lines = this.#advanceChunk(call);
    this.onWork('prefill', call.tokenIds.length, this.#row(call.row).merged !== null);
    return this.#concatenate(lines);
  }

  #advanceChunk(call: PrefillCall): readonly Float32Array[] {
    const lines = call.tokenIds.map((tokenId, index) => this.#advance(call.row, tokenId, call.startPosition + index));
    if (call.logits === 'all') this.#row(call.row).rewindsTo = call.startPosition + 1;
    if (call.logits === 'none') return [];
    return call.logits === 'all' ? lines : lines.slice(-1);
  }

  #decode(call: DecodeCall): Float32Array {
    this.onWork('decode', call.rows.length, (call.merged ?? null) !== null);
    return this.#concatenate(this.#advanceRows(call));
  }

  #advanceRows(call: DecodeCall): readonly Float32Array[] {
    if (call.rows.length === 0) throw new Error('an empty decode');
    if (new Set(call.rows.map(({ row }) => row)).size !== call.rows.length) throw new Error('a row twice in one decode');
    return call.rows.map(({ row, tokenId, position }) => {
      if (this.#row(row).capacity !== call.capacity) throw new Error(`row ${row} has another capacity than ${call.capacity}`);
      if (this.#row(row).merged !== (call.merged ?? null)) throw new Error(`row ${row} is not computed by ${call.merged ?? 'the base'}`);
      return this.#advance(row, tokenId, position);
    });
  }

  #advance(row: RowId, tokenId: number, position: number): Float32Array {
    const fake = this.#row(row);
    if (position >= fake.rewindsTo && position < fake.history.length) fake.history.length = position;
    if (fake.history.length !== position) throw new Error(`row ${row} caches ${fake.history.length} positions, the call says ${position}`);
    if (position >= fake.capacity) throw new Error(`row ${row} has capacity ${fake.capacity}, the call writes position ${position}`);
    fake.history.push(tokenId);
    fake.rewindsTo = fake.history.length;
    const line = new Float32Array(this.shape.vocabularySize);
    this.#fillLogits(line, fake.history, fake.adapterKey);
    return line;
  }

  #concatenate(lines: readonly Float32Array[]): Float32Array {
    const { vocabularySize } = this.shape;
    const logits = new Float32Array(lines.length * vocabularySize);
    lines.forEach((line, index) => logits.set(line, index * vocabularySize));
    return logits;
  }

  #requireWay(adapter: PackedAdapter | null, merged: Digest | null): void {
    if (merged !== null && !this.merged.has(merged)) throw new Error(`adapter ${merged} is not merged`);
    if (merged === null && adapter?.header.full !== undefined) throw new Error('an adapter with full weights has no side path');
  }

  #row(row: RowId): FakeRow {
    const fake = this.#rows.get(row);
    if (fake === undefined) throw new Error(`row ${row} does not exist`);
    return fake;
  }

  #fault(operation: Parameters<FaultPlan>[0], rows: readonly RowId[]): void {
    const error = this.faults(operation, rows);
    if (error !== null) throw error;
  }
}

export function rowsOf(call: SessionCall): readonly RowId[] {
  switch (call.kind) {
    case 'prefill':
      return [call.row];
    case 'decode':
      return call.rows.map(({ row }) => row);
    case 'mixed':
      return [...rowsOf(call.decode), call.prefill.row];
  }
}
