// Tries both forms of a base on this machine, a pair of calls at a time, so that an idle engine can do it between requests.
import type { Clock } from '../../core/index.ts';
import type { CompiledModel } from '../../models/index.ts';
import type { OrtEnvironment } from '../../runtime/index.ts';
import { TRIED_ROWS, type TriedPair } from './form-choice.ts';
import { RowGroup } from './row-group.ts';
import type { SessionTable } from './session-table.ts';

const CAPACITY = 64;
/** Of the tokens that are decoded. */
const POSITION = 32;
/** An odd number, behind one pair that only warms up. */
const PAIRS = 7;

interface FormTrialsOptions {
  readonly environment: OrtEnvironment;
  readonly model: CompiledModel;
  readonly sessions: SessionTable;
  readonly clock: Clock;
  /** Memory that calls of trials may write over, [lines, vocabulary]. */
  readonly logitsFor: (lineCount: number) => Float32Array;
}

export class FormTrials implements Disposable {
  readonly #options: FormTrialsOptions;
  /** Of the first and of the second form, while trials last. */
  #groups: readonly [RowGroup, RowGroup] | null = null;
  #pairs: TriedPair[] = [];
  #learned = 0;

  constructor(options: FormTrialsOptions) {
    this.#options = options;
  }

  /** Computes one pair. false: there is nothing to try, or no more. */
  step(): boolean {
    const { sessions } = this.#options;
    const rows = TRIED_ROWS[this.#learned];
    if (rows === undefined || !sessions.choice?.triesFew) return false;
    this.#pairs.push(this.#runPair((this.#groups ??= this.#createGroups()), rows));
    if (this.#pairs.length > PAIRS) {
      sessions.choice.learn(rows, this.#pairs.slice(1));
      this.#pairs = [];
      this.#learned++;
    }
    if (this.#learned === TRIED_ROWS.length) this.dispose();
    return true;
  }

  dispose(): void {
    for (const group of this.#groups ?? []) group.dispose();
    this.#groups = null;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #createGroups(): readonly [RowGroup, RowGroup] {
    const { environment, model, sessions } = this.#options;
    const create = (form: 'first' | 'second'): RowGroup => {
      const session: SessionTable['session'] = (wanted) => sessions.sessionOf(form, wanted);
      const laneCount = Math.max(...TRIED_ROWS);
      const group = new RowGroup({ environment, model, sessions: { session, sideLevels: null }, capacity: CAPACITY, laneCount });
      for (let row = 0; row < laneCount; row++) group.add(row, null);
      return group;
    };
    return [create('first'), create('second')];
  }

  /** Which form comes first changes with each pair: the later one finds the processor warmer. */
  #runPair([first, second]: readonly [RowGroup, RowGroup], rows: number): TriedPair {
    if (this.#pairs.length % 2 === 0) {
      const firstMs = this.#run(first, rows);
      return { firstMs, secondMs: this.#run(second, rows) };
    }
    const secondMs = this.#run(second, rows);
    return { firstMs: this.#run(first, rows), secondMs };
  }

  #run(group: RowGroup, rows: number): number {
    const calls = Array.from({ length: rows }, (_, row) => ({ row, tokenId: 0, position: POSITION }));
    const { clock, logitsFor } = this.#options;
    const startedMs = clock.monotonic();
    group.decode(calls, logitsFor);
    return clock.monotonic() - startedMs;
  }
}
