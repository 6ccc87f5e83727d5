// Rows of one KV capacity: which row lives in which lane, their memory, and the bindings over them.
import { LRUCache } from 'lru-cache';
import type { PackedAdapter } from '../../adapters/packed.ts';
import type { CompiledModel, GraphProfile } from '../../models/index.ts';
import type { OrtEnvironment, Session } from '../../runtime/index.ts';
import { BLOCK_POSITIONS, type RowId } from '../ports.ts';
import { AdapterLanes } from './adapter-lanes.ts';
import { BoundLanes, type TokenInputs } from './bound-lanes.ts';
import type { KvBlocks } from './kv-blocks.ts';
import { KvMemory } from './kv-memory.ts';
import { type LaneRange, LaneTensors } from './lane-tensors.ts';
import type { ChosenSession, SessionTable } from './session-table.ts';

/** A row that comes alone finds its pages there: to fault them in again, and to give them back, takes 2 ms. */
const KEPT_LANE_BYTES = 32 * 1024 ** 2;

/**
 * To bind the lanes of a call anew takes 2 to 3 ms, a tenth of a call of few rows, and leaves garbage. Under traffic the same few lanes come again; this many
 * are kept, with 360 native objects each where there are adapters.
 */
const KEPT_BINDINGS = 32;

export interface RowGroupOptions {
  readonly environment: OrtEnvironment;
  readonly model: CompiledModel;
  readonly sessions: Pick<SessionTable, 'session' | 'sideLevels'>;
  readonly capacity: number;
  readonly laneCount: number;
}

/** A row's next token and the position that it takes. */
export interface DecodingRow {
  readonly row: RowId;
  readonly tokenId: number;
  readonly position: number;
}

export interface GatheredRows {
  readonly range: LaneRange;
  /** Of each row of the call, in its order. */
  readonly lanes: readonly number[];
  /** [range.count], by lane. */
  readonly tokenIds: BigInt64Array;
  /** Length of each lane's sequence after the call, minus 1. */
  readonly seqlens: Int32Array;
}

export class RowGroup implements Disposable {
  readonly #options: RowGroupOptions;
  readonly #kv: KvMemory;
  readonly #adapters: AdapterLanes;
  readonly #rows: (RowId | null)[];
  readonly #lengths: number[];
  readonly #laneOf = new Map<RowId, number>();
  readonly #tensors = new LRUCache<string, LaneTensors>({ max: KEPT_BINDINGS, dispose: (tensors) => this.#forget(tensors) });
  readonly #bound = new Map<LaneTensors, Map<Session, BoundLanes>>();

  constructor(options: RowGroupOptions) {
    this.#options = options;
    const { model, capacity, laneCount } = options;
    this.#kv = new KvMemory(model, capacity, laneCount);
    this.#adapters = new AdapterLanes(model.graphs.full.loraGroups, laneCount, () => this.#unbindAdapters(), options.sessions.sideLevels);
    this.#rows = Array.from({ length: laneCount }, () => null);
    this.#lengths = Array.from({ length: laneCount }, () => 0);
  }

  add(row: RowId, adapter: PackedAdapter | null): void {
    const lane = this.#rows.indexOf(null);
    if (lane < 0) throw new Error(`all ${this.#rows.length} lanes of capacity ${this.#options.capacity} are taken`);
    this.#rows[lane] = row;
    this.#lengths[lane] = 0;
    this.#laneOf.set(row, lane);
    this.#adapters.write(lane, adapter);
  }

  remove(row: RowId): void {
    const lane = this.#lane(row);
    this.#laneOf.delete(row);
    this.#rows[lane] = null;
    this.#lengths[lane] = 0;
    this.#adapters.clear(lane);
    this.#trim(lane);
  }

  /** Moves a row here from another group with its first positions and its adapter, or another in its place. */
  adopt(row: RowId, from: RowGroup, positions: number, adapter = from.#adapters.adapter(from.#lane(row))): void {
    const lane = from.#lane(row);
    this.add(row, adapter);
    const target = this.#lane(row);
    from.#kv.copyLane(lane, this.#kv, target, positions);
    this.#lengths[target] = positions;
    from.remove(row);
  }

  saveBlock(row: RowId, start: number, slot: number, blocks: KvBlocks): void {
    this.#kv.saveBlock(this.#lane(row), start, BLOCK_POSITIONS, blocks.bytes(slot, this.#kv.blockBytes(BLOCK_POSITIONS)));
  }

  restoreBlock(row: RowId, start: number, slot: number, blocks: KvBlocks): void {
    const lane = this.#lane(row);
    this.#kv.restoreBlock(lane, start, BLOCK_POSITIONS, blocks.bytes(slot, this.#kv.blockBytes(BLOCK_POSITIONS)));
    this.#lengths[lane] = start + BLOCK_POSITIONS;
  }

  /** One lane, consecutive tokens. `logits` is [positions, vocabulary]. */
  prefill(row: RowId, tokenIds: readonly number[], startPosition: number, logitsPositions: readonly number[], logits: Float32Array): void {
    const inputs: TokenInputs = {
      tokenIds: BigInt64Array.from(tokenIds, BigInt),
      seqlens: Int32Array.of(startPosition + tokenIds.length - 1),
      logitsPositions: BigInt64Array.from(logitsPositions, BigInt),
    };
    this.#bind({ start: this.#lane(row), count: 1 }, tokenIds.length, 'rows').run(inputs, logits);
    this.advance(row, startPosition + tokenIds.length);
  }

  /** One token for each of some rows. The result's lines follow the lanes: answers the lane of each row. */
  decode(rows: readonly DecodingRow[], logitsFor: (laneCount: number) => Float32Array): readonly number[] {
    const { range, lanes, tokenIds, seqlens } = this.gather(rows);
    this.#bind(range, 1, range.count === 1 ? 'token' : 'rows').run(
      { tokenIds, seqlens, logitsPositions: new BigInt64Array(range.count) },
      logitsFor(range.count),
    );
    return lanes;
  }

  /**
   * Brings rows that decode together in the first lanes: which these are, their tokens and lengths before them. Rows of the group that are not part of the call
   * may lie between; their next position gets a value that a later call overwrites.
   */
  gather(rows: readonly DecodingRow[]): GatheredRows {
    this.#compact(new Set(rows.map(({ row }) => row)));
    const lanes = rows.map(({ row }) => this.#lane(row));
    const count = Math.max(...lanes) + 1;
    const tokenIds = new BigInt64Array(count);
    const seqlens = Int32Array.from(this.#lengths.slice(0, count), (length) => Math.min(length, this.#options.capacity - 1));
    rows.forEach(({ row, tokenId, position }) => {
      const lane = this.#lane(row);
      tokenIds[lane] = BigInt(tokenId);
      seqlens[lane] = position;
      this.#lengths[lane] = position + 1;
    });
    return { range: { start: 0, count }, lanes, tokenIds, seqlens };
  }

  rangeOf(row: RowId): LaneRange {
    return { start: this.#lane(row), count: 1 };
  }

  /** A row has so many positions now. */
  advance(row: RowId, positions: number): void {
    this.#lengths[this.#lane(row)] = positions;
  }

  get capacity(): number {
    return this.#options.capacity;
  }

  /** The least profile of graphs that serves some lanes. */
  profile({ start, count }: LaneRange): GraphProfile {
    return this.#adapters.profile(start, count);
  }

  /** Those of some lanes for graphs of a session; kept for the next call. */
  tensors(range: LaneRange, profile: GraphProfile, { precision, graph }: ChosenSession): LaneTensors {
    const adapted = this.#adapted(range);
    const key = `${profile}:${precision}:${range.start}:${range.count}:${adapted}`;
    const known = this.#tensors.get(key);
    if (known) return known;
    const { environment, model } = this.#options;
    const { layerCount } = model.shape;
    const tensors = new LaneTensors({
      environment,
      graph,
      layerCount,
      kv: this.#kv,
      kvScales: model.kvScales,
      adapters: this.#adapters,
      adapted,
      ...range,
    });
    this.#tensors.set(key, tensors);
    return tensors;
  }

  /** See `AdapterLanes.prepareNext`. */
  prepareNext(): boolean {
    return this.#adapters.prepareNext();
  }

  get isEmpty(): boolean {
    return this.#laneOf.size === 0;
  }

  dispose(): void {
    this.#tensors.clear();
    this.#adapters.dispose();
    this.#kv.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Moves decoding rows from the top into free lanes below, so that a decode call covers no empty lane. */
  #compact(decoding: ReadonlySet<RowId>): void {
    for (let top = this.#rows.length - 1; top > 0; top--) {
      const row = this.#rows[top];
      if (row === null || row === undefined || !decoding.has(row)) continue;
      const free = this.#rows.indexOf(null);
      if (free < 0 || free > top) return;
      const length = this.#lengths[top] ?? 0;
      this.#kv.copyLane(top, this.#kv, free, length);
      this.#adapters.move(top, free);
      this.#rows[free] = row;
      this.#rows[top] = null;
      this.#lengths[free] = length;
      this.#lengths[top] = 0;
      this.#laneOf.set(row, free);
      this.#trim(top);
    }
  }

  /**
   * A free lane's memory is kept for the next row only while about as many lanes are in use, and a small first one: what is resident
   * follows what is reserved.
   */
  #trim(lane: number): void {
    if (this.#laneOf.size === 0) this.#kv.discardFrom(this.#kv.laneBytes <= KEPT_LANE_BYTES ? 1 : 0);
    else if (lane >= 2 * this.#laneOf.size) this.#kv.discardLane(lane);
  }

  #bind(range: LaneRange, tokenCount: number, call: 'rows' | 'token'): BoundLanes {
    const profile = this.profile(range);
    const { environment, model, sessions } = this.#options;
    const chosen = sessions.session({ profile, tokenCount: range.count * tokenCount, call });
    const tensors = this.tensors(range, profile, chosen);
    const ofTensors = this.#bound.get(tensors) ?? new Map<Session, BoundLanes>();
    this.#bound.set(tensors, ofTensors);
    const { graph, session } = chosen;
    const known = ofTensors.get(session);
    if (known) return known;
    const { vocabularySize } = model.shape;
    const bound = new BoundLanes({ environment, session, graph, vocabularySize, tensors, adapters: this.#adapters, ...range });
    ofTensors.set(session, bound);
    return bound;
  }

  #adapted({ start, count }: LaneRange): 'all' | 'first' | 'none' {
    if (this.#adapters.profile(start, count) === 'none') return 'none';
    return this.#adapters.areShared(start, count) ? 'first' : 'all';
  }

  #unbindAdapters(): void {
    const stale = [...this.#tensors.entries()].filter(([, tensors]) => tensors.hasAdapters);
    for (const [key] of stale) this.#tensors.delete(key);
  }

  #forget(tensors: LaneTensors): void {
    for (const bound of this.#bound.get(tensors)?.values() ?? []) bound.dispose();
    this.#bound.delete(tensors);
    tensors.dispose();
  }

  #lane(row: RowId): number {
    const lane = this.#laneOf.get(row);
    if (lane === undefined) throw new Error(`row ${row} is not in the group of capacity ${this.#options.capacity}`);
    return lane;
  }
}
