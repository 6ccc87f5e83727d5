// Counts native objects and guards their release. Everything native in this room is a NativeHandle; tests watch the count.

let alive = 0;

/** Native objects of this process that were created and not yet released. */
export function liveHandleCount(): number {
  return alive;
}

/** A pointer with exactly one release. Using it after dispose is a bug and throws. */
export class NativeHandle implements Disposable {
  readonly kind: string;
  readonly #release: (pointer: unknown) => void;
  #pointer: unknown;

  constructor(kind: string, pointer: unknown, release: (pointer: unknown) => void) {
    if (pointer === null || pointer === undefined) throw new Error(`${kind}: ONNX Runtime returned no object`);
    this.kind = kind;
    this.#pointer = pointer;
    this.#release = release;
    alive++;
  }

  get pointer(): unknown {
    if (this.#pointer === null) throw new Error(`${this.kind}: used after dispose`);
    return this.#pointer;
  }

  /** Releases once; further calls do nothing. */
  dispose(): void {
    if (this.#pointer === null) return;
    const pointer = this.#pointer;
    this.#pointer = null;
    alive--;
    this.#release(pointer);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
