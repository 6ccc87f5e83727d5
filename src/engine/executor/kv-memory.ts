// Keys and values of one row group, a plane for each layer's keys and each layer's values: [lane][head][position][head size].
// Resident only where written. Planes are mapped apart: all of them together may pass the 4 GiB that one view can show.
import { HostMemory } from '../../runtime/index.ts';
import type { CompiledModel } from '../../models/index.ts';

/** float32, or int8 in units of the model's scales. */
type KvValues = Float32Array | Int8Array;

interface Plane {
  readonly memory: HostMemory;
  readonly values: KvValues;
}

export class KvMemory implements Disposable {
  readonly capacity: number;
  readonly elementType: 'float32' | 'int8';
  readonly #planes: readonly Plane[];
  readonly #heads: number;
  readonly #headSize: number;

  constructor({ shape, kvScales }: Pick<CompiledModel, 'shape' | 'kvScales'>, capacity: number, laneCount: number) {
    this.capacity = capacity;
    this.elementType = kvScales ? 'int8' : 'float32';
    this.#heads = shape.kvHeadCount;
    this.#headSize = shape.headSize;
    const length = laneCount * this.#laneLength;
    const Values = kvScales ? Int8Array : Float32Array;
    this.#planes = Array.from({ length: shape.layerCount * 2 }, () => {
      const memory = HostMemory.allocate(length * Values.BYTES_PER_ELEMENT);
      return { memory, values: new Values(memory.buffer, 0, length) };
    });
  }

  /** Lanes of one layer's keys (half 0) or values (half 1), as the graph wants them: [count, heads, capacity, headSize]. */
  lanes(layer: number, half: 0 | 1, start: number, count: number): KvValues {
    const values = this.#planes[layer * 2 + half]?.values;
    if (values === undefined) throw new Error(`layer ${layer} is beyond the ${this.#planes.length / 2} layers of the cache`);
    return values.subarray(start * this.#laneLength, (start + count) * this.#laneLength);
  }

  tensorShape(count: number): readonly number[] {
    return [count, this.#heads, this.capacity, this.#headSize];
  }

  /** Copies the first positions of a lane into a lane of this or another group of the same model. */
  copyLane(from: number, target: KvMemory, to: number, positions: number): void {
    const sources = this.#parts(from, 0, positions);
    target.#parts(to, 0, positions).forEach((part, index) => part.set(sources[index] ?? []));
  }

  /** Bytes of `saveBlock`'s result for so many positions. */
  blockBytes(positions: number): number {
    return this.#planes.length * this.#heads * positions * this.#headSize * (this.elementType === 'int8' ? 1 : 4);
  }

  /** Copies positions of a lane out, raw: [plane][head][position][head size]. */
  saveBlock(lane: number, start: number, positions: number, block: Uint8Array): void {
    let offset = 0;
    for (const part of this.#parts(lane, start, positions)) {
      block.set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), offset);
      offset += part.byteLength;
    }
  }

  /** Copies what `saveBlock` gave, of this or another group of the same model, into a lane. */
  restoreBlock(lane: number, start: number, positions: number, block: Uint8Array): void {
    let offset = 0;
    for (const part of this.#parts(lane, start, positions)) {
      new Uint8Array(part.buffer, part.byteOffset, part.byteLength).set(block.subarray(offset, offset + part.byteLength));
      offset += part.byteLength;
    }
  }

  /** Gives the memory of one lane back to the system. Only while no row lives there. */
  discardLane(lane: number): void {
    for (const { memory, values } of this.#planes) {
      const bytes = this.#laneLength * values.BYTES_PER_ELEMENT;
      memory.discard(lane * bytes, bytes);
    }
  }

  /** Gives the memory of the lanes from one on back to the system. Only while no row lives there. */
  discardFrom(lane: number): void {
    for (const { memory, values } of this.#planes) {
      const start = lane * this.#laneLength * values.BYTES_PER_ELEMENT;
      memory.discard(start, values.byteLength - start);
    }
  }

  /** Bytes of one lane, over all layers. */
  get laneBytes(): number {
    return this.blockBytes(this.capacity);
  }

  dispose(): void {
    for (const { memory } of this.#planes) memory.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  get #laneLength(): number {
    return this.#heads * this.capacity * this.#headSize;
  }

  /** Some positions of a lane: one view for each plane and head. */
  #parts(lane: number, start: number, positions: number): readonly KvValues[] {
    return this.#planes.flatMap(({ values }) =>
      Array.from({ length: this.#heads }, (_, head) => {
        const from = lane * this.#laneLength + (head * this.capacity + start) * this.#headSize;
        return values.subarray(from, from + positions * this.#headSize);
      }),
    );
  }
}
