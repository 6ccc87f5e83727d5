// Keys and values of one row group: [layer][key, value][lane][head][position][head size], float32, resident only where written.
import { HostMemory } from '../../runtime/index.ts';
import type { CompiledModel } from '../../models/index.ts';

export class KvMemory implements Disposable {
  readonly #memory: HostMemory;
  readonly #values: Float32Array;
  readonly #planes: number;
  readonly #laneCount: number;
  readonly capacity: number;
  readonly #heads: number;
  readonly #headSize: number;

  constructor(shape: CompiledModel['shape'], capacity: number, laneCount: number) {
    this.#planes = shape.layerCount * 2;
    this.#laneCount = laneCount;
    this.capacity = capacity;
    this.#heads = shape.kvHeadCount;
    this.#headSize = shape.headSize;
    const length = this.#planes * laneCount * this.#laneLength;
    this.#memory = HostMemory.allocate(length * 4);
    this.#values = new Float32Array(this.#memory.buffer, 0, length);
  }

  get #laneLength(): number {
    return this.#heads * this.capacity * this.#headSize;
  }

  /** Lanes of one layer's keys (half 0) or values (half 1), as the graph wants them: [count, heads, capacity, headSize]. */
  lanes(layer: number, half: 0 | 1, start: number, count: number): Float32Array {
    const from = ((layer * 2 + half) * this.#laneCount + start) * this.#laneLength;
    return this.#values.subarray(from, from + count * this.#laneLength);
  }

  tensorShape(count: number): readonly number[] {
    return [count, this.#heads, this.capacity, this.#headSize];
  }

  /** Copies the first positions of a lane into a lane of this or another group of the same model. */
  copyLane(from: number, target: KvMemory, to: number, positions: number): void {
    const length = positions * this.#headSize;
    for (let plane = 0; plane < this.#planes; plane++) {
      for (let head = 0; head < this.#heads; head++) {
        const source = this.#headOffset(plane, from, head);
        target.#values.set(this.#values.subarray(source, source + length), target.#headOffset(plane, to, head));
      }
    }
  }

  /** Gives the memory of one lane back to the system. Only while no row lives there. */
  discardLane(lane: number): void {
    for (let plane = 0; plane < this.#planes; plane++) this.#memory.discard(this.#headOffset(plane, lane, 0) * 4, this.#laneLength * 4);
  }

  /** Gives the memory of all lanes back to the system. Only while no row lives here. */
  discard(): void {
    this.#memory.discard(0, this.#values.byteLength);
  }

  dispose(): void {
    this.#memory.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #headOffset(plane: number, lane: number, head: number): number {
    return (plane * this.#laneCount + lane) * this.#laneLength + head * this.capacity * this.#headSize;
  }
}
