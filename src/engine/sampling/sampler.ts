// From one line of logits to a token id. Owns scratch memory, no request state; every draw is a function of its arguments.
// Order, as in vLLM and Hugging Face: penalties, bias, mask, temperature, min-p, top-k, top-p, typical-p, draw.
import { uniform } from '../../core/index.ts';
import type { SamplingParameters } from '../messages.ts';
import { draw, drawAmong } from './draw.ts';
import { keepBestMass, settledTotal, totalWeight } from './mass.ts';
import { keepMinP } from './min-p.ts';
import { applyMask } from './mask.ts';
import { applyPenalties, hasPenalties, type TokenHistory } from './penalties.ts';
import { argmax } from './select.ts';
import { keepTopK } from './top-k.ts';
import { keepTypicalP } from './typical-p.ts';
import type { Weigh } from './weigh.ts';

export class Sampler {
  readonly #adjusted: Float32Array;
  readonly #scores: Float32Array;
  readonly #weigh: Weigh;

  constructor(vocabularySize: number, weigh: Weigh) {
    this.#adjusted = new Float32Array(vocabularySize);
    this.#scores = new Float32Array(vocabularySize);
    this.#weigh = weigh;
  }

  /**
   * @param logits One line, [vocabularySize]; left as it is.
   * @param drawIndex Number of tokens that the request produced before: the counter of its random generator.
   * @param mask Tokens that may come, as `TokenConstraint.mask`; null: all.
   * @throws Error when the largest logit is not finite.
   */
  sample(
    logits: Float32Array,
    parameters: SamplingParameters,
    history: TokenHistory,
    drawIndex: number,
    mask: Int32Array | null = null,
  ): number {
    const adjusted = this.#adjust(logits, parameters, history, mask);
    const bestId = argmax(adjusted);
    const largest = adjusted[bestId];
    if (largest === undefined || !Number.isFinite(largest)) throw new Error('the model gave no finite logits');
    if (parameters.temperature === 0) return bestId;
    const weights = this.#weigh(adjusted, largest, 1 / Math.max(parameters.temperature, Number.EPSILON));
    let total = settledTotal(weights, mask !== null);
    if (parameters.minP > 0) {
      keepMinP(weights, parameters.minP);
      total = totalWeight(weights);
    }
    const ids = this.#select(adjusted, weights, total, parameters);
    const random = uniform(parameters.seed, drawIndex);
    return ids === null ? draw(weights, total, random) : drawAmong(weights, ids, random);
  }

  #adjust(logits: Float32Array, parameters: SamplingParameters, history: TokenHistory, mask: Int32Array | null): Float32Array {
    if (!hasPenalties(parameters) && parameters.logitBias.length === 0 && mask === null) return logits;
    const adjusted = this.#adjusted;
    adjusted.set(logits);
    applyPenalties(adjusted, parameters, history);
    for (const [id, bias] of parameters.logitBias) adjusted[id] = (adjusted[id] as number) + bias;
    if (mask !== null) applyMask(adjusted, mask);
    return adjusted;
  }

  /** Ids that the filters leave, ascending; null: all whose weight is above 0. */
  #select(adjusted: Float32Array, weights: Float32Array, total: number, { topK, topP, typicalP }: SamplingParameters): Uint32Array | null {
    let ids: Uint32Array | null = null;
    if (topK > 0) ids = keepTopK(adjusted, weights, topK);
    if (topP < 1) ids = keepBestMass(adjusted, weights, topP * (ids === null ? total : totalWeight(weights))) ?? ids;
    if (typicalP < 1) ids = keepTypicalP(weights, typicalP, this.#scores) ?? ids;
    return ids;
  }
}
