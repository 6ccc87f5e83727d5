// Which of two forms of a base computes a call: from many tokens on always the second, below what was faster when both were tried here. Knows no runtime.
import { hasInt8Tiles } from '../../core/index.ts';
import type { GraphProfile, Precision } from '../../models/index.ts';

/** Rows of the decode calls that are tried. A result holds for calls of as many tokens, and for those up to the next one. */
export const TRIED_ROWS = [1, 2, 4] as const;
/** The first form is a little nearer to float32, so the second one has to save this share of the time. */
const LEAST_GAIN = 0.03;

/** Milliseconds of one call of each form, one right after the other. */
export interface TriedPair {
  readonly firstMs: number;
  readonly secondMs: number;
}

export class FormChoice {
  /** Whether few tokens are worth a trial: a float32 form is for long calls alone. */
  readonly triesFew: boolean;
  readonly #leastTokens: Readonly<Record<GraphProfile, number>>;
  readonly #isFaster = new Map<number, boolean>();

  constructor(second: Precision, processorFlags: ReadonlySet<string>) {
    this.triesFew = second !== 'fp32';
    this.#leastTokens = leastTokensOfSecond(second, processorFlags);
  }

  /** For a call of so many tokens, of one row or one each of several. */
  takesSecond(profile: GraphProfile, tokenCount: number): boolean {
    if (tokenCount >= this.#leastTokens[profile]) return true;
    const tried = TRIED_ROWS.findLast((rows) => rows <= tokenCount);
    return tried !== undefined && (this.#isFaster.get(tried) ?? false);
  }

  /** Both forms computed calls of `rows` rows. The machine's slow moments fall on both of a pair, or on few pairs. */
  learn(rows: (typeof TRIED_ROWS)[number], pairs: readonly TriedPair[]): void {
    const faster = pairs.filter(({ firstMs, secondMs }) => secondMs <= (1 - LEAST_GAIN) * firstMs);
    this.#isFaster.set(rows, 2 * faster.length > pairs.length);
  }
}

/**
 * Calls with at least this many tokens use the second form on every machine. Measured for float32 beside int8 and int4 on Zen 3: equal at 16 to 48
 * tokens, a third faster at 128. For w8a8 beside int8: faster from 4 on with AMX, on Zen 4 equal at 4 to 6, a tenth faster at 8, and with adapters, whose
 * A it reads in int8, from 5 on; on Emerald Rapids from 1 on (DECISIONS.md of models/ and engine/).
 */
function leastTokensOfSecond(precision: Precision, flags: ReadonlySet<string>): Readonly<Record<GraphProfile, number>> {
  if (precision === 'fp32') return { none: 32, linear: 32, full: 32 };
  return hasInt8Tiles(flags) ? { none: 4, linear: 4, full: 4 } : { none: 8, linear: 5, full: 5 };
}
