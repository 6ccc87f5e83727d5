// Which rows each optimizer step reads. A step's rows follow from its number alone, so a resumed job needs no position of its own.
import type { Hyperparameters } from '../../hyperparameters.ts';
import { randomStream, shuffled } from '../random.ts';

type Sizes = Pick<Hyperparameters, 'batchSize' | 'gradientAccumulation' | 'epochs' | 'maxSteps' | 'shuffle' | 'seed'>;

/**
 * As Hugging Face's trainer: every epoch goes over all rows once; its last micro-batch may be smaller and its last step may have fewer of them. `maxSteps`
 * wins over `epochs` and goes over the rows as often as it needs.
 */
export class StepPlan {
  readonly totalSteps: number;
  readonly #rowCount: number;
  readonly #sizes: Sizes;
  readonly #stepsAnEpoch: number;
  #epoch = -1;
  #order: Int32Array = new Int32Array();

  constructor(rowCount: number, sizes: Sizes) {
    this.#rowCount = rowCount;
    this.#sizes = sizes;
    this.#stepsAnEpoch = Math.ceil(rowCount / (sizes.batchSize * sizes.gradientAccumulation));
    this.totalSteps = sizes.maxSteps ?? Math.max(1, Math.ceil(this.#stepsAnEpoch * sizes.epochs));
  }

  /** Row numbers of each micro-batch of optimizer step `step` (from 1). */
  microBatches(step: number): readonly Int32Array[] {
    const { batchSize, gradientAccumulation } = this.#sizes;
    const order = this.#orderOf(Math.floor((step - 1) / this.#stepsAnEpoch));
    const start = ((step - 1) % this.#stepsAnEpoch) * batchSize * gradientAccumulation;
    const rows = order.subarray(start, start + batchSize * gradientAccumulation);
    return Array.from({ length: Math.ceil(rows.length / batchSize) }, (_, index) => rows.slice(index * batchSize, (index + 1) * batchSize));
  }

  #orderOf(epoch: number): Int32Array {
    if (epoch !== this.#epoch) {
      this.#epoch = epoch;
      this.#order = this.#sizes.shuffle
        ? shuffled(this.#rowCount, randomStream(this.#sizes.seed, `rows of epoch ${epoch}`))
        : Int32Array.from({ length: this.#rowCount }, (_, index) => index);
    }
    return this.#order;
  }
}
