// The weights of one compiled form, mapped once and shared by every session over it.
import type { OrtEnvironment } from './environment.ts';
import { HostMemory } from './memory.ts';
import { createTensor, ELEMENT_BYTES, type ElementType, type Tensor } from './tensor.ts';

/** Where one weight lies in the weights file. */
export interface WeightEntry {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly number[];
  /** Bytes from the start of the file. */
  readonly offset: number;
}

export interface SharedWeights extends Disposable {
  /** More weights of the file, or the same in other shapes; a name that is known stays what it is. @throws Error as mapWeights. */
  add(entries: readonly WeightEntry[]): void;
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** Lets go of the mapped pages: sessions have packed copies of most weights, and what they still read comes back by itself. */
  releasePages(): void;
  dispose(): void;
}

/** @throws Error when the file is shorter than its index says. */
export function mapWeights(environment: OrtEnvironment, path: string, entries: readonly WeightEntry[]): SharedWeights {
  const memory = HostMemory.ofFile(path);
  const tensors = new Map<string, Tensor>();
  const add = (added: readonly WeightEntry[]): void => {
    for (const entry of added) {
      if (tensors.has(entry.name)) continue;
      const bytes = entryBytes(entry);
      if (entry.offset + bytes > memory.buffer.byteLength)
        throw new Error(`weights file is cut off: ${entry.name} ends at ${entry.offset + bytes} of ${memory.buffer.byteLength}`);
      const data = new Uint8Array(memory.buffer, entry.offset, bytes);
      tensors.set(entry.name, createTensor(environment, entry.type, entry.shape, data));
    }
  };
  add(entries);
  const dispose = (): void => {
    for (const tensor of tensors.values()) tensor.dispose();
    memory.dispose();
  };
  return { add, tensors, releasePages: () => memory.discard(0, memory.buffer.byteLength), dispose, [Symbol.dispose]: dispose };
}

function entryBytes({ shape, type }: WeightEntry): number {
  return shape.reduce((product, size) => product * size, 1) * ELEMENT_BYTES[type];
}
