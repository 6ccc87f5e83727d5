// A computation without ONNX Runtime for tests of the training loop: every token asks the parameters, through a fixed random projection, for a number that
// its id stands for. A least-squares problem with exact gradients, quick, and deterministic to the last bit.
import type {
  ComputationOptions,
  LossSum,
  TrainedParameter,
  TrainingComputation,
  TrainingExample,
} from '../../src/training/trainer/ports.ts';
import { randomStream } from '../../src/training/trainer/random.ts';
import { TINY_BASE } from './tiny-base.ts';

/** Values of a parameter that one token looks at. */
const SEEN = 5;

export interface FakeRun {
  readonly kind: 'accumulate' | 'evaluate';
  readonly examples: number;
  readonly microBatch: number | null;
}

export class FakeComputation implements TrainingComputation {
  readonly parameters: readonly TrainedParameter[];
  readonly runs: FakeRun[] = [];
  isClosed = false;

  constructor({ sites }: Pick<ComputationOptions, 'sites'>) {
    this.parameters = sites.flatMap(({ site, rank, dora }) => {
      const found = TINY_BASE.sites.find(({ id }) => id === site);
      if (!found) throw new Error(`no site ${site}`);
      const parameter = (part: TrainedParameter['part'], shape: readonly number[]): TrainedParameter => {
        const length = shape.reduce((product, size) => product * size, 1);
        return { site, part, shape, values: new Float32Array(length), gradient: new Float32Array(length) };
      };
      const factors = [parameter('A', [rank, found.inFeatures]), parameter('B', [found.outFeatures, rank])];
      return dora ? [...factors, parameter('magnitude', [found.outFeatures])] : factors;
    });
  }

  zeroGradients(): void {
    for (const { gradient } of this.parameters) gradient.fill(0);
  }

  accumulate(examples: readonly TrainingExample[], lossScale: number, dropout: { readonly microBatch: number } | null): LossSum {
    this.runs.push({ kind: 'accumulate', examples: examples.length, microBatch: dropout?.microBatch ?? null });
    return this.#run(examples, (values, places, error, weights) => {
      for (const [index, place] of places.entries())
        values.gradient[place] = (values.gradient[place] ?? 0) + lossScale * error * (weights[index] ?? 0);
    });
  }

  evaluate(examples: readonly TrainingExample[]): LossSum {
    this.runs.push({ kind: 'evaluate', examples: examples.length, microBatch: null });
    return this.#run(examples, () => undefined);
  }

  close(): void {
    this.isClosed = true;
  }

  #run(
    examples: readonly TrainingExample[],
    learn: (parameter: TrainedParameter, places: readonly number[], error: number, weights: readonly number[]) => void,
  ): LossSum {
    let [loss, supervisedTokens] = [0, 0];
    for (const { tokenIds, supervised } of examples) {
      for (const [position, tokenId] of tokenIds.entries()) {
        if (supervised[position] !== 1) continue;
        const seen = this.parameters.map((parameter, index) => view(parameter, index, tokenId));
        const answer = seen.reduce((sum, { value }) => sum + value, 0);
        const error = answer - ((tokenId % 7) - 3);
        loss += 0.5 * error * error;
        supervisedTokens += 1;
        for (const { parameter, places, weights } of seen) learn(parameter, places, error, weights);
      }
    }
    return { loss, supervisedTokens };
  }
}

function view(parameter: TrainedParameter, index: number, tokenId: number) {
  const stream = randomStream(tokenId, `view ${index}`);
  const places = Array.from({ length: SEEN }, (_, draw) => Math.floor(stream.uniform(2 * draw) * parameter.values.length));
  const weights = Array.from({ length: SEEN }, (_, draw) => stream.uniform(2 * draw + 1) - 0.5);
  const value = places.reduce((sum, place, draw) => sum + (weights[draw] ?? 0) * (parameter.values[place] ?? 0), 0);
  return { parameter, places, weights, value };
}
