// Constraints without a grammar: a mask lets the tokens of a script come, one after the other, and is ready when a test says so.
import type { ConstraintSource } from '../../src/engine/index.ts';

type TokenConstraint = ReturnType<ConstraintSource['open']>;

class ManualConstraint implements TokenConstraint {
  state: TokenConstraint['state'] = 'working';
  problem: string | null = null;
  isOpen = true;
  readonly accepted: number[] = [];
  readonly #script: readonly number[];
  readonly #vocabularySize: number;

  constructor(script: readonly number[], vocabularySize: number) {
    this.#script = script;
    this.#vocabularySize = vocabularySize;
  }

  get mask(): Int32Array {
    if (this.state !== 'ready') throw new Error(`a constraint that is ${this.state} has no mask`);
    const mask = new Int32Array(Math.ceil(this.#vocabularySize / 32));
    const next = this.#script[this.accepted.length] ?? 0;
    mask[next >> 5] = 1 << (next & 31);
    return mask;
  }

  accept(tokenId: number): void {
    this.accepted.push(tokenId);
    this.state = 'working';
  }

  close(): void {
    this.isOpen = false;
  }
}

export class ManualConstraints implements ConstraintSource {
  readonly opened: ManualConstraint[] = [];
  /** Masks are made within `settle`. */
  isPrompt: boolean;
  readonly #vocabularySize: number;
  #changed: () => void = () => undefined;

  constructor(vocabularySize: number, isPrompt: boolean) {
    this.#vocabularySize = vocabularySize;
    this.isPrompt = isPrompt;
  }

  /** The grammar's text is its script: token ids with spaces between them. */
  open({ text }: { readonly text: string }): TokenConstraint {
    const constraint = new ManualConstraint(text.split(' ').map(Number), this.#vocabularySize);
    this.opened.push(constraint);
    return constraint;
  }

  settle(): void {
    if (this.isPrompt) for (const constraint of this.opened) if (constraint.state === 'working') constraint.state = 'ready';
  }

  onChange(listener: () => void): void {
    this.#changed = listener;
  }

  /** Gives every mask that is due, or fails them all. */
  finish(state: 'ready' | 'failed', problem: string | null = null): void {
    for (const constraint of this.opened) Object.assign(constraint, { state, problem });
    this.#changed();
  }
}
