// How whoever asked for a job stops it: between two micro-batches the loop lets messages in, and leaves when one of them said so.

export type Wish = 'pause' | 'cancel' | 'shutdown';

/** Thrown through the loop; the state is then that after its last step. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
  readonly wish: Wish;

  constructor(wish: Wish) {
    super(`interrupted: ${wish}`);
    this.wish = wish;
  }
}

export class Interruption {
  #wish: Wish | null = null;

  /** A later wish wins, but for a pause after a cancel or a shutdown. */
  ask(wish: Wish): void {
    if (this.#wish === null || wish !== 'pause') this.#wish = wish;
  }

  /**
   * One turn of the event loop: what lies in the channel is read before it resolves.
   * @throws Interrupted when somebody asked.
   */
  readonly turn = async (): Promise<void> => {
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
    if (this.#wish !== null) throw new Interrupted(this.#wish);
  };
}
