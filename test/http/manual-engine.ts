// An engine client whose events come when a test says so, and which remembers what was submitted and cancelled.
import type { EngineClient, EngineEvent, Generation, GenerationRequest } from '../../src/engine/index.ts';

type Content = EngineEvent extends infer Event ? (Event extends EngineEvent ? Omit<Event, 'id'> : never) : never;

export class ManualGeneration implements Generation {
  readonly request: GenerationRequest;
  readonly events: AsyncIterable<EngineEvent>;
  cancelled = false;
  /** Resolves after the first cancellation. */
  readonly ended: Promise<void>;
  readonly #queue: EngineEvent[] = [];
  #wake: () => void = () => undefined;
  #markEnded: () => void = () => undefined;

  constructor(request: GenerationRequest) {
    this.request = request;
    this.events = this.#read();
    this.ended = new Promise((resolve) => {
      this.#markEnded = resolve;
    });
  }

  /** `finished` or `failed` ends the events. */
  emit(...contents: readonly Content[]): void {
    this.#queue.push(...contents.map((content): EngineEvent => ({ ...content, id: this.request.id })));
    this.#wake();
  }

  cancel(): void {
    if (this.cancelled) return;
    this.cancelled = true;
    this.emit({ kind: 'finished', reason: 'cancelled' });
    // Whoever waits sees what the caller does in the same turn, such as releasing its lease.
    setImmediate(this.#markEnded);
  }

  async *#read(): AsyncGenerator<EngineEvent> {
    for (;;) {
      const event = this.#queue.shift();
      if (event === undefined) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        continue;
      }
      yield event;
      if (event.kind === 'finished' || event.kind === 'failed') return;
    }
  }
}

export class ManualEngine implements EngineClient {
  readonly generations: ManualGeneration[] = [];
  /** Thrown by `submit` when the given number of requests is in. */
  refusal: { readonly after: number; readonly error: Error } | null = null;
  readonly #submitted: (() => void)[] = [];

  submit(request: GenerationRequest): Generation {
    if (this.refusal !== null && this.generations.length >= this.refusal.after) throw this.refusal.error;
    const generation = new ManualGeneration(request);
    this.generations.push(generation);
    for (const resolve of this.#submitted.splice(0)) resolve();
    return generation;
  }

  /** The only generation, as soon as it is submitted. */
  async first(): Promise<ManualGeneration> {
    for (;;) {
      const [generation] = this.generations;
      if (generation !== undefined) return generation;
      await new Promise<void>((resolve) => {
        this.#submitted.push(resolve);
      });
    }
  }

  pin(): void {
    // Nothing is kept here.
  }

  prefetch(): void {
    // Nor is it loaded.
  }

  place(): void {
    // Nor is anything merged.
  }

  isReady(): boolean {
    return true;
  }

  stats(): null {
    return null;
  }

  refreshStats(): Promise<null> {
    return Promise.resolve(null);
  }
}
