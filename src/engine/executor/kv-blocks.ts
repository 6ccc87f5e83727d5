// Memory of the prefix cache: raw keys and values of some positions a slot, whatever their type. Knows no tokens and no tenants.
import { HostMemory } from '../../runtime/index.ts';

export class KvBlocks implements Disposable {
  readonly #slots = new Map<number, HostMemory>();

  /** The bytes of a slot; mapped when it is first used and kept until dispose. */
  bytes(slot: number, byteCount: number): Uint8Array {
    const known = this.#slots.get(slot);
    const memory = known ?? HostMemory.allocate(byteCount);
    if (known === undefined) this.#slots.set(slot, memory);
    return new Uint8Array(memory.buffer, 0, byteCount);
  }

  dispose(): void {
    for (const memory of this.#slots.values()) memory.dispose();
    this.#slots.clear();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
