// A single-reader queue between pushes and an async iterator. Bounded by its users: a request has at most as many events as tokens.

/** Items in order; ends after `end`. Leaving the iteration early calls `onReturn`. */
export class EventQueue<Item> implements AsyncIterableIterator<Item> {
  readonly #items: Item[] = [];
  readonly #onReturn: () => void;
  #reader: ((result: IteratorResult<Item>) => void) | null = null;
  #ended = false;

  constructor(onReturn: () => void) {
    this.#onReturn = onReturn;
  }

  /** Ignored after the end. */
  push(item: Item): void {
    if (this.#ended) return;
    const reader = this.#reader;
    this.#reader = null;
    if (reader === null) this.#items.push(item);
    else reader({ value: item, done: false });
  }

  end(): void {
    this.#ended = true;
    this.#reader?.({ value: undefined, done: true });
    this.#reader = null;
  }

  next(): Promise<IteratorResult<Item>> {
    const value = this.#items.shift();
    if (value !== undefined) return Promise.resolve({ value, done: false });
    if (this.#ended) return Promise.resolve({ value: undefined, done: true });
    if (this.#reader !== null) return Promise.reject(new Error('an event queue has one reader, which waits for one item at a time'));
    return new Promise((resolve) => {
      this.#reader = resolve;
    });
  }

  return(): Promise<IteratorResult<Item>> {
    this.end();
    this.#items.length = 0;
    this.#onReturn();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
