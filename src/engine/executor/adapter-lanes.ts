// Adapter inputs of one row group: every row has a lane in memory, written when the row joins and read in place by each step.
import { type PackedAdapter, packedArray, type PackedSite } from '../../adapters/packed.ts';
import type { GraphProfile, LoraInputGroup } from '../../models/index.ts';
import { HostMemory } from '../../runtime/index.ts';
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

/** A shrunken layout must save at least this share before the lanes are written anew. */
const SHRINK_SHARE = 0.5;

export class AdapterLanes implements Disposable {
  readonly #groups: readonly LoraInputGroup[];
  readonly #laneCount: number;
  readonly #onRelayout: () => void;
  readonly #adapters: (PackedAdapter | null)[];
  #ranks: SiteRanks = new Map();
  #layout: LaneLayout | null = null;
  /** One for each group of the layout. */
  #memories: readonly HostMemory[] = [];
  #values: readonly Float32Array[] = [];

  /** `groups` are those of the full profile; `onRelayout` is called before memory that bound tensors point to is freed. */
  constructor(groups: readonly LoraInputGroup[], laneCount: number, onRelayout: () => void) {
    this.#groups = groups;
    this.#laneCount = laneCount;
    this.#onRelayout = onRelayout;
    this.#adapters = Array.from({ length: laneCount }, () => null);
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

  /** Writes a row's adapter into its lane; null clears it. May lay out all lanes anew when a rank does not fit. */
  write(lane: number, adapter: PackedAdapter | null): void {
    this.#adapters[lane] = adapter;
    if (adapter) {
      const need = requiredRanks([adapter]);
      if (!this.#layout || !covers(this.#ranks, need)) {
        this.#relayout(unite(this.#ranks, need));
        return;
      }
    }
    if (this.#layout) this.#fill(this.#layout, lane, adapter);
  }

  move(from: number, to: number): void {
    this.#adapters[to] = this.#adapters[from] ?? null;
    this.#adapters[from] = null;
    if (!this.#layout) return;
    for (const input of this.#layout.groups.flatMap(laneInputs)) {
      this.lanes(input, to, 1).set(this.lanes(input, from, 1));
    }
    this.#fill(this.#layout, from, null);
  }

  /** Forgets a lane's adapter; drops or shrinks the layout when most of it is no longer needed. */
  clear(lane: number): void {
    if (!this.#adapters[lane]) return;
    this.#adapters[lane] = null;
    const rest = this.#adapters.filter((adapter) => adapter !== null);
    if (rest.length === 0) {
      this.dispose();
      return;
    }
    const need = requiredRanks(rest);
    if (this.#layout && layoutLanes(this.#groups, need, 1).laneLength <= this.#layout.laneLength * SHRINK_SHARE) this.#relayout(need);
    else if (this.#layout) this.#fill(this.#layout, lane, null);
  }

  /** Layouts of the groups, in the order given to the constructor; null while no lane has an adapter. */
  get layout(): LaneLayout | null {
    return this.#layout;
  }

  /** The values of some lanes of an input. */
  lanes(input: InputLayout, start: number, count: number): Float32Array {
    const from = input.offset + start * input.laneLength;
    const values = this.#values[input.group];
    if (!values) throw new Error(`group ${input.group} is beyond the ${this.#values.length} groups of the layout`);
    return values.subarray(from, from + count * input.laneLength);
  }

  dispose(): void {
    if (!this.#layout) return;
    this.#onRelayout();
    for (const memory of this.#memories) memory.dispose();
    this.#memories = [];
    this.#values = [];
    this.#layout = null;
    this.#ranks = new Map();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #relayout(ranks: SiteRanks): void {
    this.dispose();
    const layout = layoutLanes(this.#groups, ranks, this.#laneCount);
    this.#memories = layout.groupLengths.map((length) => HostMemory.allocate(length * Float32Array.BYTES_PER_ELEMENT));
    this.#values = this.#memories.map(({ buffer }, group) => new Float32Array(buffer, 0, layout.groupLengths[group]));
    this.#layout = layout;
    this.#ranks = ranks;
    for (let lane = 0; lane < this.#laneCount; lane++) {
      const adapter = this.#adapters[lane] ?? null;
      // Fresh memory is zero, which is what an empty lane holds everywhere but in its gains.
      if (adapter) this.#fill(layout, lane, adapter);
      else for (const group of layout.groups) if (group.gain) this.lanes(group.gain, lane, 1).fill(1);
    }
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
      if (site) copyColumns(packedArray(adapter, site.a), site.rank, target, group.rankSum, group.partColumns[index] ?? 0);
    });
  }
}

export function needsFullProfile(adapter: PackedAdapter): boolean {
  return adapter.header.sites.some(
    ({ site, gain, bias }) => gain !== undefined || bias !== undefined || site === 'embed' || site === 'head',
  );
}

function laneInputs(group: GroupLayout): readonly InputLayout[] {
  return [group.a, ...group.b, group.gain, group.bias].filter((input) => input !== null);
}

function setOrFill(target: Float32Array, value: Float32Array | number): void {
  if (typeof value === 'number') target.fill(value);
  else target.set(value);
}

/** Copies a [rows, width] matrix into columns of a [rows, targetWidth] one. */
function copyColumns(source: Float32Array, width: number, target: Float32Array, targetWidth: number, column: number): void {
  if (width === targetWidth) {
    target.set(source);
    return;
  }
  for (let from = 0, to = column; from < source.length; from += width, to += targetWidth) {
    for (let index = 0; index < width; index++) target[to + index] = source[from + index] ?? 0;
  }
}
