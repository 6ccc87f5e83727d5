// Drives an engine: steps while there is work, sleeps when there is none. Between steps it lets the event loop read messages.
import type { Engine } from './engine.ts';

/** An error that a step throws is a bug, not a failed call: it is left to end the process, whose supervisor starts it again. */
export class EngineLoop {
  readonly #engine: Engine;
  #scheduled: NodeJS.Immediate | null = null;
  #stopped = false;

  constructor(engine: Engine) {
    this.#engine = engine;
    engine.onWork(() => this.#schedule());
    this.#schedule();
  }

  stop(): void {
    this.#stopped = true;
    if (this.#scheduled !== null) clearImmediate(this.#scheduled);
    this.#scheduled = null;
  }

  // setImmediate runs once for each turn of the event loop, after its poll phase: submits and cancellations get in between.
  #schedule(): void {
    if (this.#stopped || this.#scheduled !== null) return;
    this.#scheduled = setImmediate(() => {
      this.#scheduled = null;
      // What later calls may need is made ready piece by piece while there is nothing else to do.
      if (this.#engine.step().kind !== 'idle' || this.#engine.prepareNext()) this.#schedule();
    });
  }
}
