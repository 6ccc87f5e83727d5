// Every parameter by its definition, on distributions small enough to work out by hand.
import { describe, expect, it } from 'vitest';
import { weigh } from '../../../test/support/weigh.ts';
import type { SamplingParameters } from '../messages.ts';
import { NEUTRAL_SAMPLING } from './neutral.ts';
import { NO_PENALTY_HISTORY, type TokenHistory } from './penalties.ts';
import { Sampler } from './sampler.ts';

const DRAWS = 4000;
/** Six standard deviations of a frequency over that many draws, at most. */
const FREQUENCY_TOLERANCE = 6 * Math.sqrt(0.25 / DRAWS);

const parameters = (changes: Partial<SamplingParameters>): SamplingParameters => ({
  ...NEUTRAL_SAMPLING,
  temperature: 1,
  seed: 1,
  ...changes,
});

/** Frequencies of the tokens over many draws from these probabilities. */
function frequencies(
  probabilities: readonly number[],
  changes: Partial<SamplingParameters>,
  history: TokenHistory = NO_PENALTY_HISTORY,
): number[] {
  const logits = Float32Array.from(probabilities, Math.log);
  const sampler = new Sampler(logits.length, weigh);
  const counts = probabilities.map(() => 0);
  for (let index = 0; index < DRAWS; index += 1) {
    const id = sampler.sample(logits, parameters(changes), history, index);
    counts[id] = (counts[id] ?? 0) + 1;
  }
  return counts.map((count) => count / DRAWS);
}

/** Tokens whose frequency is not the wanted probability; one that is removed must never come. */
function strays(actual: readonly number[], wanted: readonly number[]): number[] {
  const isStray = (id: number): boolean => {
    const difference = Math.abs((actual[id] ?? NaN) - (wanted[id] ?? NaN));
    return !(wanted[id] === 0 ? difference === 0 : difference < FREQUENCY_TOLERANCE);
  };
  return [...wanted.keys()].filter(isStray);
}

const PROBABILITIES = [0.1, 0.4, 0.05, 0.25, 0.2];

describe('a sampler', () => {
  it('draws by probability when nothing is filtered', () => {
    expect(strays(frequencies(PROBABILITIES, {}), PROBABILITIES)).toEqual([]);
  });

  it('takes the best token at temperature 0, the first of equals', () => {
    expect(frequencies(PROBABILITIES, { temperature: 0 })).toEqual([0, 1, 0, 0, 0]);
    expect(frequencies([0.2, 0.4, 0.4], { temperature: 0 })).toEqual([0, 1, 0]);
  });

  it('sharpens and flattens with temperature', () => {
    const squared = PROBABILITIES.map((p) => p * p);
    const total = squared.reduce((sum, p) => sum + p, 0);
    const sharpened = squared.map((p) => p / total);
    expect(strays(frequencies(PROBABILITIES, { temperature: 0.5 }), sharpened)).toEqual([]);
    expect(strays(frequencies(PROBABILITIES, { temperature: 1e6 }), [0.2, 0.2, 0.2, 0.2, 0.2])).toEqual([]);
    expect(frequencies(PROBABILITIES, { temperature: 1e-9 })).toEqual([0, 1, 0, 0, 0]);
  });

  it.each<[string, Partial<SamplingParameters>, readonly number[]]>([
    ['top-k keeps the k best', { topK: 2 }, [0, 0.4 / 0.65, 0, 0.25 / 0.65, 0]],
    ['top-k above the vocabulary keeps all', { topK: 99 }, PROBABILITIES],
    ['top-p keeps the smallest set with that probability', { topP: 0.7 }, [0, 0.4 / 0.85, 0, 0.25 / 0.85, 0.2 / 0.85]],
    ['top-p 0 keeps the best', { topP: 0 }, [0, 1, 0, 0, 0]],
    ['top-p applies to what top-k left', { topK: 2, topP: 0.6 }, [0, 1, 0, 0, 0]],
    ['min-p keeps what is probable relative to the best', { minP: 0.45 }, [0, 0.4 / 0.85, 0, 0.25 / 0.85, 0.2 / 0.85]],
    // Entropy 1.415; distances of -ln p from it: 0.888, 0.499, 1.581, 0.029, 0.194.
    ['typical-p keeps what is closest to the entropy', { typicalP: 0.4 }, [0, 0, 0, 0.25 / 0.45, 0.2 / 0.45]],
    [
      'a bias of ln 4 makes a token four times as probable',
      { logitBias: [[0, Math.log(4)]] },
      [0.4, 0.4, 0.05, 0.25, 0.2].map((p) => p / 1.3),
    ],
    ['a bias of -100 bans a token', { logitBias: [[1, -100]] }, [0.1 / 0.6, 0, 0.05 / 0.6, 0.25 / 0.6, 0.2 / 0.6]],
  ])('%s', (_name, changes, wanted) => {
    expect(strays(frequencies(PROBABILITIES, changes), wanted)).toEqual([]);
  });

  it('filters a vocabulary larger than the usual prefix the same way', () => {
    const flat = Array.from({ length: 1000 }, () => 1 / 1000);
    const kept = frequencies(flat, { topP: 0.5 });
    expect(kept.slice(0, 500).filter((frequency) => frequency > 0).length).toBeGreaterThan(450);
    // Equal tokens rank by id; rounding of the sum may admit one more.
    expect(kept.slice(501).every((frequency) => frequency === 0)).toBe(true);
  });

  it('penalises what prompt and output repeat', () => {
    const history = { promptIds: new Set([0]), producedCounts: new Map([[1, 2]]) };
    const sampler = new Sampler(3, weigh);
    const greedy = (logits: readonly number[], changes: Partial<SamplingParameters>): number =>
      sampler.sample(Float32Array.from(logits), parameters({ temperature: 0, ...changes }), history, 0);
    // A positive logit is divided, a negative one multiplied.
    expect(greedy([4, 1, 2.1], { repetitionPenalty: 2 })).toBe(2);
    expect(greedy([4, 1, 1.9], { repetitionPenalty: 2 })).toBe(0);
    expect(greedy([-1, -9, -1.9], { repetitionPenalty: 2 })).toBe(2);
    expect(greedy([-1, -9, -2.1], { repetitionPenalty: 2 })).toBe(0);
    // Frequency counts, presence does not; neither looks at the prompt.
    expect(greedy([0, 3, 2.1], { frequencyPenalty: 0.5 })).toBe(2);
    expect(greedy([0, 3, 1.9], { frequencyPenalty: 0.5 })).toBe(1);
    expect(greedy([0, 3, 2.1], { presencePenalty: 1 })).toBe(2);
    expect(greedy([2.2, 3, 2.1], { presencePenalty: 1 })).toBe(0);
  });

  it('lets only tokens come that the mask has, after penalties and bias, and draws among them by probability', () => {
    const vocabulary = 70;
    const sampler = new Sampler(vocabulary, weigh);
    const logits = Float32Array.from({ length: vocabulary }, (_, id) => (id === 0 ? 50 : 0));
    // Words of bits: ids 33 and 35, then 64; behind the mask nothing may come.
    const mask = Int32Array.of(0, (1 << 1) | (1 << 3), 1);
    const counts = new Map<number, number>();
    for (let index = 0; index < DRAWS; index += 1) {
      const id = sampler.sample(logits, parameters({ logitBias: [[35, Math.log(2)]] }), NO_PENALTY_HISTORY, index, mask);
      counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    const wanted = [33, 35, 64].map((id) => Math.abs((counts.get(id) ?? 0) / DRAWS - (id === 35 ? 0.5 : 0.25)));
    expect(wanted.every((difference) => difference < FREQUENCY_TOLERANCE)).toBe(true);
    expect(counts.size).toBe(3);
    expect(logits[0]).toBe(50);
    expect(() => sampler.sample(logits, parameters({}), NO_PENALTY_HISTORY, 0, new Int32Array(3))).toThrow('finite');
  });

  it('gives the same draw for the same seed and place, and leaves the logits alone', () => {
    const sampler = new Sampler(5, weigh);
    const logits = Float32Array.from(PROBABILITIES, Math.log);
    const before = logits.slice();
    const sequence = (seed: number): number[] =>
      Array.from({ length: 30 }, (_, index) =>
        sampler.sample(logits, parameters({ seed, topP: 0.9, logitBias: [[1, -1]] }), NO_PENALTY_HISTORY, index),
      );
    expect(sequence(7)).toEqual(sequence(7));
    expect(sequence(7)).not.toEqual(sequence(8));
    expect(logits).toEqual(before);
  });

  it('refuses logits without a finite largest', () => {
    const sampler = new Sampler(2, weigh);
    for (const logits of [
      [NaN, NaN],
      [-Infinity, -Infinity],
      [Infinity, 1],
    ]) {
      expect(() => sampler.sample(Float32Array.from(logits), parameters({}), NO_PENALTY_HISTORY, 0)).toThrow('finite');
    }
  });
});
