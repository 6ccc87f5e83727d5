// How far the model's predictions move when projection groups multiply row by row in integers. Loads ONNX Runtime.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { LlamaConfig } from '../../architectures/index.ts';
import type { Graph } from '../../graph/index.ts';
import {
  type Binding,
  createTensor,
  type ElementType,
  type OrtEnvironment,
  type Session,
  type Tensor,
  type TensorData,
} from '../../runtime/index.ts';
import { type Candidate, chooseGroups } from '../row-wise/choose-groups.ts';
import type { Calibration } from './calibration.ts';
import { meanDivergence } from './mean-divergence.ts';

export interface RowTrialOptions {
  readonly environment: OrtEnvironment;
  /** Of `graph`, with a switch `row_wise.<group>` for each group, and for some an input `range.<group>` and an output `largest.<group>`. */
  readonly session: Session;
  readonly graph: Graph;
  readonly config: LlamaConfig;
  /** Texts of one length, read side by side. */
  readonly texts: readonly (readonly number[])[];
  /** The groups of the switches. */
  readonly candidates: readonly Candidate[];
  readonly bound: number;
  readonly onTrial: () => void;
}

const SWITCH = 'row_wise.';
const RANGE = 'range.';
const LARGEST = 'largest.';
/** Predictions are compared after every second token: neighbours say much the same, and the head costs as much as several layers. */
const COMPARED_STRIDE = 2;
/** Share of the rows whose values all lie within the common range. Mean KL of qkv and gate-up at 0.8, 0.9, 0.95, 0.99: 0.0020, 0.0015, 0.0014, 0.0014. */
const WHOLE_ROWS = 0.95;

/** Ranges of the turned inputs, and the groups that bear one product: their mean KL divergence from the float32 model over all texts stays within `bound` nats. */
export async function tryRowWise({ candidates, bound, onTrial, ...options }: RowTrialOptions): Promise<ChosenRows> {
  using trial = new Trial(options);
  const reference = trial.run([]).slice();
  const ranges = trial.takeRanges();
  const oneProduct = await chooseGroups(candidates, bound, async (tried) => {
    const moved = meanDivergence(reference, trial.run(tried), options.config.vocabularySize);
    onTrial();
    // A run blocks; in between, the process may learn that its parent has gone.
    await nextTurn();
    return moved;
  });
  return { ranges, oneProduct };
}

export type ChosenRows = Pick<Calibration, 'ranges' | 'oneProduct'>;

function namesAfter(prefix: string, values: readonly { readonly name: string }[]): readonly string[] {
  return values.filter(({ name }) => name.startsWith(prefix)).map(({ name }) => name.slice(prefix.length));
}

/** One binding of all texts, from position 0. */
class Trial implements Disposable {
  readonly #binding: Binding;
  readonly #tensors: Tensor[] = [];
  readonly #environment: OrtEnvironment;
  readonly #on: Tensor;
  readonly #off: Tensor;
  readonly #logits: Float32Array;
  /** max |x| of each row of the texts, by group. */
  readonly #largest: ReadonlyMap<string, Float32Array>;

  constructor({ environment, session, graph, config, texts }: Omit<RowTrialOptions, 'candidates' | 'bound' | 'onTrial'>) {
    this.#environment = environment;
    this.#binding = session.createBinding();
    const rows = texts.length;
    const length = texts[0]?.length ?? 0;
    const compared = Array.from({ length: Math.ceil(length / COMPARED_STRIDE) }, (_, index) => index * COMPARED_STRIDE);
    const bind = (name: string, type: ElementType, shape: readonly number[], data: TensorData): void =>
      this.#binding.input(name, this.#tensor(type, shape, data));
    bind('input_ids', 'int64', [rows, length], BigInt64Array.from(texts.flat(), BigInt));
    bind('seqlens_k', 'int32', [rows], new Int32Array(rows).fill(length - 1));
    bind('total_sequence_length', 'int32', [1], Int32Array.of(length));
    const positions = BigInt64Array.from(
      texts.flatMap(() => compared),
      BigInt,
    );
    bind('logits_positions', 'int64', [rows, compared.length, 1], positions);
    const { kvHeadCount, headSize, vocabularySize } = config;
    for (let layer = 0; layer < config.layerCount; layer++) {
      for (const name of ['key', 'value']) {
        const cache = this.#tensor(
          'float32',
          [rows, kvHeadCount, length, headSize],
          new Float32Array(rows * kvHeadCount * length * headSize),
        );
        this.#binding.input(`past.${layer}.${name}`, cache);
        this.#binding.output(`present.${layer}.${name}`, cache);
      }
    }
    this.#logits = new Float32Array(rows * compared.length * vocabularySize);
    this.#binding.output('logits', this.#tensor('float32', [rows, compared.length, vocabularySize], this.#logits));
    this.#on = this.#tensor('float32', [1], Float32Array.of(1));
    this.#off = this.#tensor('float32', [1], Float32Array.of(0));
    for (const group of namesAfter(SWITCH, graph.inputs)) this.#binding.input(SWITCH + group, this.#off);
    this.#largest = new Map(namesAfter(RANGE, graph.inputs).map((group) => [group, new Float32Array(rows * length)]));
    for (const [group, values] of this.#largest) {
      // Any range will do while the group is off.
      this.#binding.input(RANGE + group, this.#on);
      this.#binding.output(LARGEST + group, this.#tensor('float32', [rows, length, 1], values));
    }
  }

  /** Logits [compared positions, vocabulary] with these groups row-wise; valid until the next run. */
  run(groups: readonly string[]): Float32Array {
    for (const group of groups) this.#binding.input(SWITCH + group, this.#on);
    this.#binding.run();
    for (const group of groups) this.#binding.input(SWITCH + group, this.#off);
    return this.#logits;
  }

  /** Ranges for the runs to come, from the rows of the latest one. */
  takeRanges(): ReadonlyMap<string, number> {
    const ranges = new Map<string, number>();
    for (const [group, largest] of this.#largest) {
      const range = largest.toSorted()[Math.ceil(WHOLE_ROWS * largest.length) - 1] ?? 0;
      // Rows of zeros alone tell no range: each row will have its own.
      if (range > 0) ranges.set(group, range);
      this.#binding.input(RANGE + group, this.#tensor('float32', [1], Float32Array.of(range)));
    }
    return ranges;
  }

  dispose(): void {
    this.#binding.dispose();
    for (const tensor of this.#tensors) tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #tensor(type: ElementType, shape: readonly number[], data: TensorData): Tensor {
    const tensor = createTensor(this.#environment, type, shape, data);
    this.#tensors.push(tensor);
    return tensor;
  }
}
