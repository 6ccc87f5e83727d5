// Adapter inputs of one row group: every row has a lane in memory, written when the row joins and read in place by each step.
import { type PackedAdapter, packedArray, type PackedSite } from '../../adapters/packed.ts';
import type { GraphProfile, LoraInputGroup } from '../../models/index.ts';
import { copyFloatColumns } from './columns.ts';
import type { LaneLevels } from './kept-levels.ts';
import { LaneMemory } from './lane-memory.ts';
import {
  covers,
  type GroupLayout,
  type InputLayout,
  type LaneLayout,
  layoutLanes,
  requiredRanks,
  type SiteRanks,
  unite,
} from './rank-layout.ts';
import type { SideLevels } from './side-levels.ts';

/** A smaller layout must save at least this share before the lanes are written anew. */
const SHRINK_SHARE = 0.5;
/** So many rows in a row must have joined that would do with it: adapters of different ranks come in turns. */
const SHRINK_PATIENCE = 32;
/** Memory of free lanes that is kept for the next rows: writing to pages that are there takes half the time. */
const KEPT_BYTES = 128 * 1024 ** 2;

/** What lies in a lane's memory, also after its row has left. Weak, or it would keep what the host cache lets go. */
type Held = WeakRef<PackedAdapter> | 'neutral' | 'leftovers';

export class AdapterLanes implements Disposable {
  readonly #groups: readonly LoraInputGroup[];
  readonly #laneCount: number;
  readonly #onRelayout: () => void;
  readonly #levels: SideLevels | null;
  readonly #keptBytes: number;
  readonly #adapters: (PackedAdapter | null)[];
  readonly #held: Held[];
  /** Lanes that were written to since their memory was fresh. */
  readonly #resident = new Set<number>();
  /** Rows that joined since the layout was last needed whole. */
  #oversizedJoins = 0;
  #ranks: SiteRanks = new Map();
  #memory: LaneMemory | null = null;

  /**
   * `groups` are those of the full profile; `onRelayout` is called before memory that bound tensors point to is freed; `levels` where a form
   * takes A in int8; `keptBytes` of free lanes stay in memory.
   */
  constructor(
    groups: readonly LoraInputGroup[],
    laneCount: number,
    onRelayout: () => void,
    levels: SideLevels | null = null,
    keptBytes = KEPT_BYTES,
  ) {
    this.#levels = levels;
    this.#keptBytes = keptBytes;
    this.#groups = groups;
    this.#laneCount = laneCount;
    this.#onRelayout = onRelayout;
    this.#adapters = Array.from({ length: laneCount }, () => null);
    this.#held = Array.from({ length: laneCount }, () => 'neutral');
  }

  /** The least graph profile that serves the first `count` lanes. */
  profile(start: number, count: number): GraphProfile {
    let profile: GraphProfile = 'none';
    for (let lane = start; lane < start + count; lane++) {
      const adapter = this.#adapters[lane];
      if (!adapter) continue;
      if (needsFullProfile(adapter)) return 'full';
      profile = 'linear';
    }
    return profile;
  }

  adapter(lane: number): PackedAdapter | null {
    return this.#adapters[lane] ?? null;
  }

  /** Whether `count` lanes hold one and the same adapter: a call over them then reads it once, from the first. */
  areShared(start: number, count: number): boolean {
    const first = this.adapter(start);
    return first !== null && this.#adapters.slice(start, start + count).every((adapter) => adapter === first);
  }

  /** Writes a row's adapter into its lane; null clears it. May lay out all lanes anew when a rank does not fit, or is long not needed any more. */
  write(lane: number, adapter: PackedAdapter | null): void {
    this.#adapters[lane] = adapter;
    const ranks = adapter === null ? null : this.#betterRanks(requiredRanks([adapter]));
    if (ranks) this.#relayout(ranks);
    else if (this.#memory) this.#hold(this.#memory.layout, lane, adapter);
  }

  move(from: number, to: number): void {
    const adapter = this.#adapters[from] ?? null;
    this.#adapters[to] = adapter;
    this.#adapters[from] = null;
    if (!this.#memory || this.#holds(to, adapter)) return;
    this.#memory.copyLane(from, to);
    this.#held[to] = this.#held[from] ?? 'leftovers';
    this.#resident.add(to);
    this.#trim();
  }

  /** Forgets a lane's adapter. Its values stay until the next row is written there: a call that covers the empty lane computes with them for nobody. */
  clear(lane: number): void {
    this.#adapters[lane] = null;
    this.#trim();
  }

  /** Layouts of the groups, in the order given to the constructor; null before the first adapter came. */
  get layout(): LaneLayout | null {
    return this.#memory?.layout ?? null;
  }

  /** The values of some lanes of an input. */
  lanes(input: InputLayout, start: number, count: number): Float32Array {
    if (!this.#memory) throw new Error('no memory is laid out for adapters');
    return this.#memory.lanes(input, start, count);
  }

  /** The same memory as int8, four values for each float32 one. */
  levels(input: InputLayout, start: number, count: number): Int8Array {
    const { buffer, byteOffset, byteLength } = this.lanes(input, start, count);
    return new Int8Array(buffer, byteOffset, byteLength);
  }

  /**
   * Brings the pages of one free lane into memory, so that the next row's adapter is written there in a fraction of the time; the lowest first, as many as
   * are kept. false: there is none to bring. Values stay as they are.
   */
  prepareNext(): boolean {
    if (!this.#memory) return false;
    const absent = Array.from({ length: this.#laneCount }, (_, lane) => lane).find((lane) => !this.#resident.has(lane));
    if (absent === undefined || this.#freeResident().length >= this.#keptCount(this.#memory)) return false;
    this.#memory.touchLane(absent);
    this.#resident.add(absent);
    return true;
  }

  dispose(): void {
    if (!this.#memory) return;
    this.#onRelayout();
    this.#memory.dispose();
    this.#memory = null;
    this.#ranks = new Map();
    this.#held.fill('neutral');
    this.#resident.clear();
    this.#oversizedJoins = 0;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #relayout(ranks: SiteRanks): void {
    this.dispose();
    const layout = layoutLanes(this.#groups, ranks, this.#laneCount, this.#levels?.groupIds);
    this.#memory = new LaneMemory(layout);
    this.#ranks = ranks;
    for (let lane = 0; lane < this.#laneCount; lane++) {
      const adapter = this.#adapters[lane] ?? null;
      // Fresh memory is zero, which is what an empty lane holds everywhere but in its gains.
      if (adapter) this.#hold(layout, lane, adapter);
      else for (const group of layout.groups) if (group.gain) this.lanes(group.gain, lane, 1).fill(1);
    }
  }

  /** Ranks that a row which joins asks of the layout; null: the present ones will do. */
  #betterRanks(need: SiteRanks): SiteRanks | null {
    if (!this.#memory || !covers(this.#ranks, need)) return unite(this.#ranks, need);
    const all = requiredRanks(this.#adapters.filter((adapter) => adapter !== null));
    const isOversized =
      layoutLanes(this.#groups, all, 1, this.#levels?.groupIds).laneLength <= this.#memory.layout.laneLength * SHRINK_SHARE;
    this.#oversizedJoins = isOversized ? this.#oversizedJoins + 1 : 0;
    return this.#oversizedJoins > SHRINK_PATIENCE ? all : null;
  }

  #holds(lane: number, adapter: PackedAdapter | null): boolean {
    const held = this.#held[lane];
    return adapter === null ? held === 'neutral' : held instanceof WeakRef && held.deref() === adapter;
  }

  /** Brings an adapter, or neutral values, into a lane where it is not there yet. */
  #hold(layout: LaneLayout, lane: number, adapter: PackedAdapter | null): void {
    if (this.#holds(lane, adapter)) return;
    this.#fill(layout, lane, adapter);
    this.#fillLevels(layout, lane, adapter);
    this.#held[lane] = adapter ? new WeakRef(adapter) : 'neutral';
    this.#resident.add(lane);
  }

  /** Gives the memory of the topmost free lanes back to the system, beyond what is kept. */
  #trim(): void {
    if (!this.#memory) return;
    for (const lane of this.#freeResident().slice(this.#keptCount(this.#memory))) this.#discard(this.#memory, lane);
  }

  /** Lowest first. */
  #freeResident(): readonly number[] {
    return [...this.#resident].filter((lane) => this.adapter(lane) === null).toSorted((one, other) => one - other);
  }

  #keptCount({ laneBytes }: LaneMemory): number {
    return Math.max(1, Math.floor(this.#keptBytes / laneBytes));
  }

  #discard(memory: LaneMemory, lane: number): void {
    memory.discardLane(lane);
    // Whole pages alone are given back.
    this.#held[lane] = 'leftovers';
    this.#resident.delete(lane);
  }

  #fill(layout: LaneLayout, lane: number, adapter: PackedAdapter | null): void {
    const sites = new Map(adapter?.header.sites.map((site) => [site.site, site]) ?? []);
    for (const group of layout.groups) {
      if (group.a && group.rankSum > 0) this.#fillA(group, group.a, lane, adapter, sites);
      let column = 0;
      group.group.parts.forEach((part, index) => {
        const site = sites.get(part.site);
        const b = group.b[index];
        // Rows of B beyond a site's rank meet zero columns of A, so they may keep finite leftovers.
        if (adapter && site && b) this.lanes(b, lane, 1).set(packedArray(adapter, site.b));
        if (group.gain)
          setOrFill(
            this.lanes(group.gain, lane, 1).subarray(column, column + part.outFeatures),
            adapter && site?.gain ? packedArray(adapter, site.gain) : 1,
          );
        if (group.bias)
          setOrFill(
            this.lanes(group.bias, lane, 1).subarray(column, column + part.outFeatures),
            adapter && site?.bias ? packedArray(adapter, site.bias) : 0,
          );
        column += part.outFeatures;
      });
    }
  }

  #fillLevels(layout: LaneLayout, lane: number, adapter: PackedAdapter | null): void {
    const filled = layout.groups.flatMap((group): readonly LaneLevels[] => {
      if (!group.levels) return [];
      const { a, scales } = group.levels;
      return [{ layout: group, levels: this.levels(a, lane, 1), scales: this.lanes(scales, lane, 1) }];
    });
    if (adapter) this.#levels?.fill(adapter, filled);
    else for (const { scales } of filled) scales.fill(0);
  }

  #fillA(
    group: GroupLayout,
    input: InputLayout,
    lane: number,
    adapter: PackedAdapter | null,
    sites: ReadonlyMap<string, PackedSite>,
  ): void {
    const target = this.lanes(input, lane, 1);
    const present = group.group.parts.map((part) => sites.get(part.site));
    const exact = present.every((site, index) => (site?.rank ?? 0) === group.partRanks[index]);
    if (!exact) target.fill(0);
    if (!adapter) return;
    present.forEach((site, index) => {
      if (!site) return;
      const source = { values: packedArray(adapter, site.a), width: site.rank, first: 0 };
      copyFloatColumns(source, { values: target, width: group.rankSum, first: group.partColumns[index] ?? 0 }, site.rank);
    });
  }
}

export function needsFullProfile(adapter: PackedAdapter): boolean {
  return adapter.header.sites.some(
    ({ site, gain, bias }) => gain !== undefined || bias !== undefined || site === 'embed' || site === 'head',
  );
}

function setOrFill(target: Float32Array, value: Float32Array | number): void {
  if (typeof value === 'number') target.fill(value);
  else target.set(value);
}
