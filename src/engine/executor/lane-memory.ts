// Memory of adapters' lanes in one layout: where values lie, and which of it is resident.
import { HostMemory } from '../../runtime/index.ts';
import type { GroupLayout, InputLayout, LaneLayout } from './rank-layout.ts';

const VALUE_BYTES = Float32Array.BYTES_PER_ELEMENT;

export class LaneMemory implements Disposable {
  readonly layout: LaneLayout;
  /** One for each group of the layout. */
  readonly #memories: readonly HostMemory[];
  readonly #values: readonly Float32Array[];

  /** Zeroed. */
  constructor(layout: LaneLayout) {
    this.layout = layout;
    this.#memories = layout.groupLengths.map((length) => HostMemory.allocate(length * VALUE_BYTES));
    this.#values = this.#memories.map(({ buffer }, group) => new Float32Array(buffer, 0, layout.groupLengths[group]));
  }

  get laneBytes(): number {
    return this.layout.laneLength * VALUE_BYTES;
  }

  /** The values of some lanes of an input. */
  lanes(input: InputLayout, start: number, count: number): Float32Array {
    const from = input.offset + start * input.laneLength;
    const values = this.#values[input.group];
    if (!values) throw new Error(`group ${input.group} is beyond the ${this.#values.length} groups of the layout`);
    return values.subarray(from, from + count * input.laneLength);
  }

  copyLane(from: number, to: number): void {
    for (const input of this.#inputs()) this.lanes(input, to, 1).set(this.lanes(input, from, 1));
  }

  /** Makes a lane resident; its values stay. */
  touchLane(lane: number): void {
    for (const { group, offset, laneLength } of this.#inputs()) {
      this.#memories[group]?.touch((offset + lane * laneLength) * VALUE_BYTES, laneLength * VALUE_BYTES);
    }
  }

  /** Gives the whole pages of a lane back to the system. */
  discardLane(lane: number): void {
    for (const { group, offset, laneLength } of this.#inputs()) {
      this.#memories[group]?.discard((offset + lane * laneLength) * VALUE_BYTES, laneLength * VALUE_BYTES);
    }
  }

  dispose(): void {
    for (const memory of this.#memories) memory.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #inputs(): readonly InputLayout[] {
    return this.layout.groups.flatMap(inputsOf);
  }
}

function inputsOf(group: GroupLayout): readonly InputLayout[] {
  return [group.a, group.levels?.a ?? null, group.levels?.scales ?? null, ...group.b, group.gain, group.bias].filter(
    (input) => input !== null,
  );
}
